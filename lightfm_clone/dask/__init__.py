"""The same model on a cluster of Dask: trained, evaluated and asked for lists by many processes.

Users are dealt to *shards*, about as many interactions to each. A shard holds its users, all their
interactions, and the whole item side. While a fit runs, an actor on each worker (a *host*) trains
the shards it is given, a slice of an epoch at a time, and the hosts merge what all have made of
the rows that they share. Between calls the users' rows lie on the cluster as Dask's futures, and
what is asked of the model is a task for each shard.
"""
