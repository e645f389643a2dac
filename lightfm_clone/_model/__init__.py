"""What happens to a model, one job a file; `lightfm.py` has the public methods that lead here."""
