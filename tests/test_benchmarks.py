"""The arithmetic of the benchmarks, without the libraries they compare with."""

from __future__ import annotations

import shutil
import sys
import tempfile

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import ROOT

from lightfm_clone import ItemNeighbours, LightFM

if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
sys.path.insert(0, str(ROOT / "benchmarks"))

import ablation  # noqa: E402
import few  # noqa: E402
import floor  # noqa: E402
import harness  # noqa: E402
import load  # noqa: E402
import losses  # noqa: E402
import models  # noqa: E402
import pages  # noqa: E402
import published  # noqa: E402
import ranges  # noqa: E402
import ranking  # noqa: E402
import recommender  # noqa: E402
import rotation  # noqa: E402
import scale  # noqa: E402
import scheduling  # noqa: E402
import sweeps  # noqa: E402
import updates  # noqa: E402
import workloads  # noqa: E402
from harness import Comparison, Curve, Part, Table  # noqa: E402

from lightfm_clone._model.training import Training  # noqa: E402


def comparison(**changes) -> Comparison:
    facts = {"name": "a row", "unit": "s", "other": "peer", "theirs": [8.0, 10.0, 40.0]}
    return Comparison(**{**facts, "ours": [2.0, 1.0, 2.0], "least": 4.0, "aim": 6.0, **changes})


def test_ratio_is_of_medians_and_spread_of_rounds():
    row = comparison()
    assert row.ratio == 10 / 2
    assert row.spread == (8 / 2, 40 / 2)


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [(3.0, "NOT REACHED"), (2.5, "reached"), (2.0, "reached"), (1.0, "aim reached")],
)
def test_verdict(ours, verdict):
    assert comparison(ours=[ours] * 3).verdict == verdict
    assert comparison(ours=[ours] * 3, least=None, aim=None).verdict == ""
    assert comparison(ours=[ours] * 3, aim=None).verdict == verdict.removeprefix("aim ")


def test_rounds_are_interleaved():
    calls = []

    def side(name: str):
        def cost() -> float:
            calls.append(name)
            return float(len(calls))

        return cost

    costs = harness.interleaved({"a": side("a"), "b": side("b")}, rounds=3)
    assert "".join(calls) == "ababab"
    assert costs == {"a": [1.0, 3.0, 5.0], "b": [2.0, 4.0, 6.0]}


def test_short_calls_are_repeated(monkeypatch):
    clock = iter(np.arange(0.0, 100.0, 0.25))
    monkeypatch.setattr(harness.time, "perf_counter", lambda: next(clock))
    calls = []
    assert harness.mean_seconds(lambda: calls.append(1), least=1.0) == 0.25
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1234.5, "1,234"), (99.96, "100.0"), (12.34, "12.3"), (0.01234, "0.0123"), (-3.0, "-3"),
     (1_000_000, "1,000,000"), ("text", "text")],
)  # fmt: skip
def test_numbers_have_about_three_digits(value, shown):
    assert harness.number(value) == shown


def test_report_survives_saving(tmp_path):
    part = Part(
        "training",
        "Training",
        ["a note"],
        [comparison(), comparison(name="without targets", least=None, aim=None)],
        [Table("Others", ["what", "value"], [["x", 1.5]], ["noted"])],
        [Curve("Growth", "d", "ns", [8, 16], {"warp": [1.0, 2.0]}, notes=["linear"])],
        {"date": "today", "CPU": "some"},
    )
    harness.save(part, tmp_path)
    assert harness.load(tmp_path / "training.json") == part
    elsewhere = Part("quality", "Quality", machine={"date": "later", "CPU": "some"})
    page = harness.report("Results", [part, elsewhere], {"training": ["training.png"]})
    assert (
        "| a row | peer | 10.0 s | 2 s | **5.00** | 4.00 - 20.00 | 4 | 6 | reached | 0.0 |" in page
    )
    assert (
        "| without targets | peer | 10.0 s | 2 s | **5.00** | 4.00 - 20.00 |  |  |  | 0.0 |" in page
    )
    assert "| what | value |\n| --- | ---: |\n| x | 1.5 |" in page
    assert "| d | warp |\n| --- | ---: |\n| 8 | 1 |\n| 16 | 2 |" in page
    assert "![Training](training.png)" in page
    assert page.count("CPU: some") == 1
    assert "Measured on the same machine, later." in page


def test_floor_stands_beside_the_rows_that_have_one():
    part = Part("training", "Training")
    sides = {"peer": lambda: 10.0, "ours": lambda: 3.0}
    part.compare("with", "ns", {**sides, "floor": lambda: 2.0}, rounds=2)
    part.compare("without", "ns", sides, rounds=2)
    assert [row.floor for row in part.comparisons] == [[2.0, 2.0], []]
    with_floor, without = harness.comparison_table(part.comparisons).splitlines()[2:]
    assert with_floor.endswith("| 2 ns | 1.50 |")
    assert without.endswith("|  |  |")
    assert "floor" not in harness.comparison_table(part.comparisons[1:])


# ---- processors side by side --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpu", "name"),
    [
        ("AMD EPYC (family 25, model 17)", "amd-epyc-25-17"),
        (
            "Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz (family 6, model 106)",
            "intel-xeon-platinum-8370c-6-106",
        ),
        ("arm", "arm"),
        ("", "unknown"),
    ],
)
def test_names_of_processors(cpu, name):
    assert pages.processor({"CPU": cpu}) == name


@pytest.fixture
def results(tmp_path):
    """A row measured on both of two processors, another on one, of ratios 5, 2 and 4."""
    shared = comparison(name="shared", other="1 thread")
    for cpu, rows in (
        ("A 1", [shared, comparison(name="alone", ours=[2.5] * 3)]),
        ("B 2", [comparison(name="shared", other="1 thread", ours=[5.0] * 3)]),
    ):
        part = Part("threads", "Threads", comparisons=rows)
        part.machine = {"CPU": cpu, "date": "2026-11-30 02:00 UTC"}
        harness.save(part, tmp_path / "daily" / pages.processor(part.machine))
    return tmp_path / "daily"


def test_ratios_of_all_processors_worst_first(results):
    shared, alone = pages.worst_first(pages.saved(results))
    assert (shared.name, shared.lowest, shared.highest) == ("shared", 2, 5)
    assert shared.by_processor == {"a-1": 5, "b-2": 2}
    assert (alone.name, alone.lowest, alone.by_processor) == ("alone", 4, {"a-1": 4})


def test_pages_of_processors_and_the_one_of_all(results):
    pages.write(results, with_plots=False)
    page = results.with_suffix(".md").read_text()
    assert "| shared | 1 thread | **2.00** | 5.00 | 5.00 | 2.00 |" in page
    assert "| alone | peer | **4.00** | 4.00 | 4.00 | - |" in page
    assert "- [A 1](daily/a-1.md), 2026-11-30 to 2026-11-30: threads." in page
    assert "A 1" in (results / "a-1.md").read_text()
    assert "| alone |" not in (results / "b-2.md").read_text()


def test_ranges_are_over_all_processors(results):
    table = ranges.table(pages.saved(results))
    assert table.splitlines()[2:] == ["| two threads, against one | 2.0 - 5.0 | a-1, b-2 |"]
    start, end = ranges.MARKS
    page = f"before\n{start}\nold\n{end}\nafter\n"
    assert ranges.with_ranges(page, "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="each once"):
        ranges.with_ranges("no marks", "new")


@pytest.fixture(scope="module")
def measured():
    if not (harness.RESULTS / "daily").is_dir():
        pytest.skip("the results are not here")
    return pages.saved(harness.RESULTS / "daily")


def test_every_line_of_the_ranges_has_rows(measured):
    """Of a part that was measured; so no pattern is left behind when rows are renamed."""
    names = {part.name for parts in measured.values() for part in parts}
    lines = {line for line, (part, _) in ranges.LINES.items() if part in names}
    table = ranges.table(measured)
    assert {line for line in ranges.LINES if f"| {line} |" in table} == lines


def test_readme_quotes_the_ranges_as_measured(measured):
    page = (ROOT / "README.md").read_text()
    if ranges.MARKS[0] in page:
        assert ranges.with_ranges(page, ranges.table(measured)) == page


def test_pages_are_those_of_the_saved_results(measured):
    assert (harness.RESULTS / "daily.md").read_text() == pages.overview("daily", measured)


def test_machine_is_described():
    facts = harness.machine()
    assert {"date", "CPU", "cores", "memory", "instruction level", "python", "numpy"} <= set(facts)
    assert all(facts.values())


def test_samples_are_alike():
    matrix = workloads.interactions(300, 200, 3000)
    weights = workloads.weights(matrix)
    few, weights_of_few = workloads.sampled(matrix, 500), workloads.sampled(weights, 500)
    more = workloads.sampled(matrix, 1000)
    np.testing.assert_array_equal(few.row, weights_of_few.row)
    np.testing.assert_array_equal(few.col, more.col[:500])
    assert len(set(zip(more.row, more.col, strict=True))) == 1000


def test_tags_are_exact_and_normalised():
    matrix = workloads.tagged(50, 15)
    assert matrix.nnz == 50 * 16
    assert len(set(zip(*matrix.nonzero(), strict=True))) == matrix.nnz
    np.testing.assert_array_equal(np.diff(matrix.indptr), 16)
    np.testing.assert_array_equal(matrix[:, :50].toarray() > 0, np.eye(50))
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)


def test_examples_are_timed_without_the_call(monkeypatch):
    """A call of n examples that takes 1 s + n us costs 1 us an example, from the very state."""
    matrix = workloads.interactions(300, 200, 3000)
    state = models.state_of(LightFM(no_components=4, random_state=0).fit(matrix, epochs=0))
    epoch = models.Epoch(state, {"no_components": 4}, matrix)

    def took(fit_partial, sample, **arguments) -> float:
        np.testing.assert_array_equal(
            fit_partial.__self__.item_embeddings, state["item_embeddings"]
        )
        fit_partial(sample, **arguments)
        return 1 + 1e-6 * sample.nnz

    monkeypatch.setattr(models, "seconds", took)
    assert epoch.nanoseconds(LightFM) == pytest.approx(1000)


# ---- floor --------------------------------------------------------------------------------------


@pytest.fixture
def trained() -> tuple[sp.coo_matrix, dict[str, np.ndarray]]:
    matrix = workloads.interactions(300, 200, 3000)
    model = LightFM(no_components=8, loss="warp", random_state=0).fit(matrix, epochs=10)
    return matrix, models.state_of(model)


def test_tries_follow_the_law(trained):
    matrix, state = trained
    drawn, tries, found = floor.warp_tries(state, matrix, matrix.row, matrix.col)
    known = matrix.tocsr()
    scores = state["user_embeddings"] @ state["item_embeddings"].T + state["item_biases"]
    for i in range(0, matrix.nnz, 50):
        user, positive = matrix.row[i], matrix.col[i]
        violations = [
            t
            for t, item in enumerate(drawn[i], start=1)
            if scores[user, item] > scores[user, positive] - 1 and not known[user, item]
        ]
        assert found[i] == bool(violations)
        assert tries[i] == (violations[0] if violations else floor.MAX_SAMPLED)


def test_traces_hold_every_row_an_example_touches(trained):
    matrix, state = trained
    n, n_users = 1000, matrix.shape[0]
    examples = workloads.sampled(matrix, n)
    rows, _ = floor.trace("logistic", state, matrix, n)
    np.testing.assert_array_equal(rows[0::2], examples.row)
    np.testing.assert_array_equal(rows[1::2], examples.col + n_users)
    rows, _ = floor.trace("bpr", state, matrix, n)
    assert len(rows) == 3 * n and (rows[2::3] >= n_users).all()

    rows, mean_tries = floor.trace("warp", state, matrix, n)
    _, tries, found = floor.warp_tries(state, matrix, examples.row, examples.col)
    assert mean_tries == tries.mean()
    assert len(rows) == 2 * n + tries.sum()
    updated = rows < floor.READ_ONLY
    assert updated.sum() == 3 * found.sum()
    starts = np.cumsum(2 + tries) - (2 + tries)
    np.testing.assert_array_equal(rows[starts] & ~floor.READ_ONLY, examples.row)
    np.testing.assert_array_equal(rows[starts + 1] & ~floor.READ_ONLY, examples.col + n_users)
    for place in (starts, starts + 1, starts + 1 + tries):
        np.testing.assert_array_equal(updated[place], found)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_traces_are_served():
    rows = np.random.default_rng(0).integers(1000, size=100_000).astype(np.uint32)
    with tempfile.TemporaryDirectory() as folder:
        library = floor.compiled(10, folder)
        assert 0 < floor.served(library, rows, 1000) < 1
        assert 0 < floor.served(library, rows | floor.READ_ONLY, 1000) < 1


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_floors_of_losses_and_of_random_rows(trained, tmp_path):
    matrix, state = trained
    floors = {loss: floor.Floor(loss, state, matrix, str(tmp_path)) for loss in floor.LOSSES}
    assert all(0 < each.nanoseconds() < 1e6 for each in floors.values())
    assert 1 <= floors["warp"].tries <= floor.MAX_SAMPLED
    assert floors["bpr"].tries is floors["logistic"].tries is None
    table = floor.random_rows()
    for no_components in (8, 20, 8):
        floor.add_random_row(table, no_components, 500, str(tmp_path))
    assert [row[:2] for row in table.rows] == [[8, 128], [20, 256]]


# ---- load --------------------------------------------------------------------------------------


def test_busy_processes_end_with_the_block():
    with load.busy(2) as processes:
        assert [process.poll() for process in processes] == [None, None]
    assert all(process.returncode for process in processes)
    with pytest.raises(KeyError), load.busy(1) as processes:
        raise KeyError
    assert all(process.returncode for process in processes)


def test_busy_processes_end_by_themselves(monkeypatch):
    monkeypatch.setattr(load, "BUSY", load.BUSY.replace(f" {load.BUSY_SECONDS}", " 0"))
    with pytest.raises(RuntimeError, match="took longer"), load.busy(1) as processes:
        assert processes[0].wait(timeout=60) == 0


def test_gains_beside_busy_processes(monkeypatch):
    """Calls that take 6 s on one thread, 4 s on two and 5 s on eight."""
    monkeypatch.setattr(load._cpus, "available", lambda: 2)
    monkeypatch.setattr(load, "mean_seconds", lambda call, least: call())
    ours = {1: 6.0, 2: 4.0, 8: 5.0}.__getitem__
    theirs = {1: 8.0, 2: 4.0}.__getitem__
    calls = {"a": lambda size: {"ours": ours}, "b": lambda size: {load.PEER: theirs, "ours": ours}}
    monkeypatch.setattr(load, "CASES", calls)
    part = load.measure(workloads.QUICK, lambda row: "quiet" in row or row.startswith("a, 1"))
    names = ["a, quiet", "a, 1 busy process", "b, quiet"]
    assert [row.name for row in part.comparisons] == names
    assert [row.verdict for row in part.comparisons] == ["", "reached", ""]
    gains, oversubscribed = part.tables
    assert gains.rows == [[names[0], 1.5, "-"], [names[1], 1.5, "-"], [names[2], 1.5, 2.0]]
    assert oversubscribed.rows[0] == [names[0], 4, 5, 1.25, "1.25 - 1.25", 1.15, "NOT REACHED"]
    assert not part.notes[2:]
    monkeypatch.setattr(load._cpus, "available", lambda: 1)
    assert not load.measure(workloads.QUICK, lambda row: True).comparisons


# ---- scheduling ---------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the program is for Linux")
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_simulated_threads_share_an_epoch():
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(10, 2010)
    items = rng.choice(2000, 100_000, p=popularity / popularity.sum())
    pairs = np.column_stack([rng.integers(5000, size=len(items)), items])
    with tempfile.TemporaryDirectory() as folder:
        program = scheduling.Scheduling(folder, 5000, 2000, pairs)
        for threads in (2, 8, 64):
            for slow in (1.0, 4.0):
                given, moved = program.moved(threads, slow)
                assert given == len(pairs)
                lines, *rows = moved
                # Some lines a block; looking at what each of the others does would be 64.
                assert lines < 8 / scheduling.BLOCK
                assert all(0 < of < 1 for of in rows)
                # Threads are dealt positives, and draw negatives from all items.
                assert rows[1] < rows[2]


# ---- scale --------------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_workflow():
    found = scale.workflow(users=300, items=200, n=5000, epochs=3, asked=100, threads=2)
    assert found["trained"] == 3750
    assert found["precision"] == pytest.approx(found["precision of the lists"], abs=0.01)
    # A list at random would have 2 % of hits.
    assert found["precision"] > 0.05
    assert all(stage["seconds"] >= 0 and stage["peak"] > 0 for stage in found["stages"])


@pytest.mark.parametrize("num_threads", [1, 2])
def test_lists_by_predict_leave_out_what_is_known(trained, num_threads):
    """Best first, and each score that of its item; so they are what `recommend` is measured by."""
    matrix, state = trained
    model = models.with_state(LightFM(no_components=8), state)
    users, known = np.arange(0, 300, 7), matrix.tocsr()
    best, found = ranking.lists_by_predict(model, users, known, num_threads)
    vectors, biases = state["user_embeddings"], state["user_biases"]
    scores = vectors @ state["item_embeddings"].T + state["item_biases"] + biases[:, None]
    scores[known.nonzero()] = -np.inf
    expected = np.sort(scores[users], axis=1)[:, ::-1][:, : ranking.TOP]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(scores[users[:, None], best], expected, rtol=1e-4)
    ranking.require_alike((best, found), model.recommend(users, k=ranking.TOP, exclude=known))


def test_lists_that_differ_are_not_compared():
    ids, scores = np.array([[3, 1, 2]]), np.array([[2.0, 1.0, 1.0]])
    ranking.require_alike((ids, scores), (ids[:, [0, 2, 1]], scores + 1e-6))  # of equal scores
    with pytest.raises(ValueError, match="not the same"):
        ranking.require_alike((ids, scores), (ids, scores + [[0, 0, 0.1]]))
    with pytest.raises(ValueError, match="not the same"):
        ranking.require_alike((ids, scores), (ids[:, [1, 0, 2]], scores))


def test_days_of_the_updates():
    """Numbers by first appearance, tags that go along, each pair on its day."""
    users, items = np.array([7, 3, 7, 5] * 25), np.repeat(np.arange(50, 0, -1), 2)
    tags = sp.csr_matrix(np.arange(60, dtype=np.float32)[:, None])
    log = updates._log(users, items, tags, tags)
    assert log.users[:4].tolist() == [0, 1, 0, 2]
    assert log.items[:4].tolist() == [0, 0, 1, 1]
    assert log.user_tags.toarray().ravel().tolist() == [7, 3, 5]
    assert log.item_tags.toarray().ravel().tolist() == [*range(50, 0, -1)]
    known = log.until(1)
    assert known.sum() == 88
    assert known.shape == (3, 44)
    assert (log.until(3) != 0).sum() == 90
    assert log.on(2, (3, 45)).sum() == 1
    assert log.on(2, (3, 44)).sum() == 0  # an item that nobody knows yet
    features = log.features(known.shape)["item_features"]
    assert features.shape == (44, 45)
    np.testing.assert_allclose(features.sum(axis=1), 1, rtol=1e-6)


# ---- recommender ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    pytest.importorskip("pyarrow")
    path = tmp_path_factory.mktemp("ratings") / "ratings.parquet"
    recommender.write_ratings(path, 300, 200, 5_000)
    return path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_both_ways_from_a_file_to_a_model(ratings, monkeypatch):
    for owner, name in (
        (recommender.sources, "read"),
        (recommender.events_of, "read"),
        (recommender.events_of, "pairs"),
        (recommender.Dataset, "fit_partial"),
        (recommender.fitting, "settle"),
        (recommender.fitting, "_report"),
        (recommender.fitting, "train"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # and back again
    arrays, ours = (recommender.WAYS[way](ratings, 1, 1) for way in ("arrays", "with-times"))
    assert arrays["model"] == ours["model"]
    for found in (arrays, ours):
        *stages, total = found["stages"]
        assert total["name"] == "all"
        assert total["seconds"] == sum(stage["seconds"] for stage in stages)
        assert total["peak"] == max(stage["peak"] for stage in stages)
    names = [[stage["name"] for stage in found["stages"]] for found in (arrays, ours)]
    assert names[0] == ["read the file", "numbering", "interactions", "training", "all"]
    assert set(names[0]) < set(names[1])


def test_medians_of_stages():
    runs = [
        {"stages": [{"name": "a", "seconds": took, "cpu": 1.0, "peak": 2e6}]} for took in (3.0, 1.0)
    ]
    assert recommender._medians(runs, "a") == {"s": 2.0, "CPU s": 1.0, "MB": 2.0}
    assert set(recommender._medians(runs, "b").values()) == {""}


# ---- features, few data, hyper-parameters --------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "known", "new"),
    [
        ("1", [1, 0, 1, 1, 1], [0, 0, 1, 1, 0]),
        ("1/n", [1 / 4, 0, 1 / 4, 1 / 4, 1 / 4], [0, 0, 1 / 2, 1 / 2, 0]),
        ("1/sqrt(k)", [1, 0, *[3**-0.5] * 3], [0, 0, 2**-0.5, 2**-0.5, 0]),
    ],
)
def test_rows_of_the_ablation(scale, known, new):
    """Two known items, of three tags and of none, and a new one of two tags."""
    tags = sp.csr_matrix(np.array([[1, 1, 1], [0, 0, 0], [1, 1, 0]], np.float32))
    rows = ablation.Rows("both", scale=scale)
    np.testing.assert_allclose(rows.known(tags, 2).toarray()[0], known, rtol=1e-6)
    assert rows.known(tags, 2)[1].nnz == 1
    np.testing.assert_allclose(rows.new(tags, 2).toarray(), [new], rtol=1e-6)
    alone = ablation.Rows("features alone", identities=False, scale=scale)
    assert alone.known(tags, 2).shape == (2, 3) and alone.new(tags, 2).shape == (1, 3)


def test_the_ablation_asks_for_what_is_held_out(monkeypatch):
    rng = np.random.default_rng(0)
    users, items = np.divmod(rng.choice(40 * 30, 400, replace=False), 30)
    is_new_user, is_new_item = np.arange(40) % 5 == 0, np.arange(30) % 5 == 0
    tags = [sp.random(n, 6, 0.4, "csr", random_state=0) for n in (40, 30)]
    task = ablation._task(
        "small",
        0.2,
        dict.fromkeys(ablation.QUESTIONS, "auc"),
        (users, items),
        rng.random(400) < 0.2,
        is_new_user,
        is_new_item,
        *tags,
    )
    assert task.train.shape == (32, 24) and task.test.shape == (40, 30)
    assert task.train.nnz + task.test.nnz == 400
    np.testing.assert_array_equal(task.item_tags[24:].nonzero(), tags[1][::5].nonzero())
    monkeypatch.setattr(ablation, "tasks", lambda: [task])
    monkeypatch.setattr(ablation, "ROWS", ablation.ROWS[:4])
    monkeypatch.setattr(ablation, "SEEDS", 2)
    warp, _ = ablation.measure(workloads.DAILY, lambda row: True).tables
    assert [row[0] for row in warp.rows] == [rows.name for rows in ablation.ROWS]
    assert warp.rows[0][2] == "" and all(len(row) == len(warp.columns) for row in warp.rows)


def test_few_interactions_of_each():
    users = np.repeat([0, 1, 2], [5, 1, 3])
    chosen, items = few._some(users, np.arange(9), 2, seed=0)
    np.testing.assert_array_equal(np.bincount(chosen), [2, 1, 2])
    np.testing.assert_array_equal(chosen, users[items])


def test_sweeps_change_one_parameter_at_a_time(monkeypatch):
    matrix = workloads.interactions(60, 80, 1500).tocsr()
    task = losses.Task("ML-1M", ("ndcg@10",), *[sp.coo_matrix(matrix)] * 3)
    monkeypatch.setattr(sweeps, "tasks", lambda: [task])
    monkeypatch.setattr(sweeps, "judged", lambda *_: {"ndcg@10": 0.5})
    tried = []
    monkeypatch.setattr(sweeps, "trained", lambda *given: tried.append(given[2]))
    tables = sweeps.measure(workloads.DAILY, lambda row: True).tables
    assert sum(len(table.rows) for table in tables) == len(tried)
    for settings in tried:
        start = next(each for each in sweeps.START.values() if each.keys() == settings.keys())
        assert sum(settings[name] != value for name, value in start.items()) <= 1


# ---- losses -------------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_neighbours_stand_beside_the_losses(monkeypatch):
    matrix = workloads.interactions(60, 80, 1500).tocsr()
    train, test = published.cut(matrix)
    parts = [part.tocoo() for part in (*published.cut(train), test)]
    task = losses.Task("small", ("ndcg@10", "auc"), *parts)
    cold = losses.Task("small, cold items", ("auc",), *parts, tags=sp.identity(80, format="csr"))
    small = {"epochs": 2, "no_components": 8}
    chosen = {"softmax": {**small, "user_power": 0.5}, "warp": small, "neighbours": {}}
    monkeypatch.setattr(losses, "tasks", lambda: [task, cold])
    monkeypatch.setattr(losses, "CHOSEN", {task.name: chosen, cold.name: {"softmax": small}})
    table, of_cold = losses.measure(workloads.DAILY, lambda row: True).tables
    assert [row[0] for row in of_cold.rows] == ["softmax"]  # neighbours know nothing of new items
    names = ["softmax", "softmax + neighbours", "warp", "warp + neighbours", "neighbours"]
    assert [row[0] for row in table.rows] == names
    settings = {row[0]: row[1] for row in table.rows}
    assert settings["softmax + neighbours"] == "weight 5.0"
    assert float(settings["warp + neighbours"].removeprefix("weight ")) in losses.WEIGHTS
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert ["±" in row[2] for row in table.rows] == [True] * 4 + [False]


# ---- public splits ------------------------------------------------------------------------------


def split_in(folder, train: str, test: str):
    for name, lines in (("train.txt", train), ("test.txt", test)):
        (folder / name).write_text(lines)
    return folder


def test_split_is_read(tmp_path):
    """Users in any order, without items, with an item twice, and of the test alone."""
    train, test = published.read(split_in(tmp_path, "2 5 0 5\n\n0 1 \n1\n", "0 2\n3 4 1\n"))
    assert train.shape == test.shape == (4, 6)
    assert [train[user].indices.tolist() for user in range(4)] == [[1], [], [0, 5], []]
    assert [test[user].indices.tolist() for user in range(4)] == [[2], [], [], [1, 4]]
    assert (train.data == 1).all()


@pytest.mark.parametrize(
    ("line", "told"),
    [("1 2 x", "got '1 2 x'"), ("1 -2", "got '1 -2'"), ("1 2.0", "of at least 0"),
     ("1,2,3", "user item item"), ("0 2", "user 0 has a line above already")],
)  # fmt: skip
def test_malformed_lines_are_told_with_their_place(tmp_path, line, told):
    with pytest.raises(ValueError, match=r"train\.txt, line 2: ") as error:
        published.read(split_in(tmp_path, f"0 1\n{line}\n", "0 2\n"))
    assert told in str(error.value)


def test_parts_without_interactions_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"test\.txt: there are no interactions"):
        published.read(split_in(tmp_path, "0 1\n", "0\n"))


def test_validation_is_a_tenth_of_each_user():
    train = workloads.interactions(300, 200, 6000).tocsr()
    left, held_out = published.cut(train)
    assert (left + held_out != train).nnz == 0
    assert left.multiply(held_out).nnz == 0
    counts = np.diff(train.indptr)
    np.testing.assert_array_equal(np.diff(held_out.indptr), np.rint(counts / 10))
    assert (published.cut(train)[1] != held_out).nnz == 0
    assert (published.cut(train, seed=1)[1] != held_out).nnz > 0


def test_protocol_is_that_of_the_papers():
    """Item by item, from the definition; a test item that was trained on is never in a list."""
    matrix = workloads.interactions(60, 80, 1500).tocsr()
    train, test = published.cut(matrix)
    test = test + sp.csr_matrix(([1.0], ([0], [train[0].indices[0]])), test.shape)
    test.data[:] = 1
    model = ItemNeighbours().fit(train)
    recalls, ndcgs = [], []
    for user in np.flatnonzero(np.diff(test.indptr)):
        scores = model.predict(user, np.arange(80))
        scores[train[user].indices] = -np.inf
        best = np.argsort(-scores, kind="stable")[:20]
        hits = np.isin(best, test[user].indices)
        wanted = test[user].nnz
        recalls.append(hits.sum() / wanted)
        ideal = sum(1 / np.log2(place + 2) for place in range(min(20, wanted)))
        ndcgs.append(sum(1 / np.log2(place + 2) for place in np.flatnonzero(hits)) / ideal)
    found = published.judged(model, train, test)
    np.testing.assert_allclose(found, [np.mean(recalls), np.mean(ndcgs)], rtol=1e-6)


def test_lists_may_be_short():
    test = sp.csr_matrix(np.eye(3))[:2]
    lists = np.array([[0, -1], [-1, -1]], np.int32)
    np.testing.assert_array_equal(published.of_lists(lists, test), [[1, 0], [1, 0]])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_split_is_reported_beside_what_is_published(tmp_path, monkeypatch, capsys):
    train, test = published.cut(workloads.interactions(60, 80, 1500).tocsr())
    folder = tmp_path / "Yelp2018"
    folder.mkdir()
    lines = [
        "".join(f"{user} {' '.join(map(str, part[user].indices))}\n" for user in range(60))
        for part in (train, test)
    ]
    monkeypatch.setattr(published, "EPOCHS", 2)
    published.report(split_in(folder, *lines))
    shown = capsys.readouterr().out
    assert "60 users, 80 items" in shown
    assert shown.count("validation, ") == 6
    for model in ("neighbours", "softmax, d=64", "softmax, d=128 + neighbours"):
        assert f"\n| {model} | " in shown
    assert "| LightGCN | 0.0649 | 0.0530 | " in shown
    published.report(split_in(tmp_path, *lines))
    assert "Published values are known of gowalla, yelp2018, amazonbook." in capsys.readouterr().out


# ---- beyond one machine -------------------------------------------------------------------------


def constants():
    scale_model = pytest.importorskip("scale_model")  # it needs dask
    return scale_model, scale_model.Constants(
        example_ns={"warp": 320.0, "softmax": 1600.0},
        sharing=1.5,
        read_ns=30.0,
        number_ns=50.0,
        prepare_ns=20.0,
        hand_out_ns=0.3,
        take_in_ns=0.2,
        contribute_ns={"adagrad": 4.0, "sgd": 2.0},
        merge_ns={"adagrad": 8.0, "sgd": 4.0},
        add_ns=0.5,
        score_ns=1.0,
        loopback=1e9,
        parcel=1e9,
    )


def test_model_of_many_workers():
    scale_model, of = constants()
    users, items, n, d, workers, cores = 1_000_000, 10_000, 40_000_000, 64, 4, 2
    table = scale_model.model(of, users, items, n, d, workers, cores, 8, 3)
    # 8 Gbit/s are the 1 GB/s of the loopback.
    sheet = items * 65
    assert table["an epoch: training"].seconds == pytest.approx(n / 4 * 320e-9 * 1.5 / 2)
    scatter, gather = table["a merge: reduce-scatter"], table["a merge: all-gather"]
    assert scatter.sent == gather.sent == pytest.approx(2 * sheet * 4 * 3 / 4)
    assert gather.seconds == pytest.approx(gather.sent / 1e9)
    keeper = table["a merge: user rows to a keeper"]
    assert keeper.sent == pytest.approx(2 * users / 4 * 65 * 4)
    rule = table["a merge: contributions, sums, rule"]
    assert rule.seconds == pytest.approx(sheet * (4 + 8 / 4 + 3 * 2 * 0.5) * 1.5e-9)
    merge = [phase for name, phase in table.items() if name.startswith("a merge")]
    epoch = table["an epoch"]
    assert epoch.sent == pytest.approx(3 * sum(phase.sent for phase in merge))
    assert epoch.seconds == pytest.approx(
        table["an epoch: training"].seconds + 3 * sum(phase.seconds for phase in merge)
    )
    # A round sends each item's row once, whatever the number of workers.
    assert table["rotation, a round more in an epoch"].sent == pytest.approx(2 * sheet * 4)
    assert table["rotation, an epoch of one round"].sent == pytest.approx(
        2 * sheet * 4 * (5 + 1) / 4 + keeper.sent
    )
    rotating, all_items = (scale_model.held(table, rotates=rotates) for rotates in (True, False))
    rows = 2 * sheet * 4
    assert all_items - rotating == pytest.approx(rows * (6.05 - (2 * 2.05 + 2) / 4))


def test_model_of_one_worker_sends_nothing():
    scale_model, of = constants()
    table = scale_model.model(of, 1_000, 100, 50_000, 32, 1, 1, 10, 1, "softmax")
    assert not any(phase.sent for phase in table.values())
    assert table["an epoch: training"].seconds == pytest.approx(50_000 * 1600e-9 / 2)
    assert "a merge: all-gather" not in table


def test_blocks_are_dealt_a_round_at_a_time():
    rng = np.random.default_rng(0)
    counts = rng.permutation(100)
    classes = rotation.dealt(counts, 8, rng)[np.argsort(-counts)]
    for first in range(0, 96, 8):
        assert sorted(classes[first : first + 8]) == list(range(8))
    assert len(set(classes[96:])) == 4
    assert not np.array_equal(classes[:8], classes[8:16])


def test_known_items_of_a_cell_have_all_copies():
    rows, cols = np.array([2, 0, 2, 2]), np.array([3, 1, 0, 2], np.int32)
    indptr, items = rotation._known(rows, cols, 4, 5, 2)
    assert indptr.tolist() == [0, 2, 2, 8, 8]
    assert items.tolist() == [1, 6, 0, 2, 3, 5, 7, 8]


@pytest.mark.parametrize("plan", rotation.PLANS.values(), ids=list(rotation.PLANS))
def test_a_rotation_trains_every_interaction_once_an_epoch(plan, monkeypatch):
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers([60, 40], size=(600, 2)), axis=0)
    matrix = sp.coo_matrix((np.ones(len(pairs), np.float32), pairs.T), shape=(60, 40))
    trained = []
    part = Training.part

    def counted(self, settings, begin, end, *shares):
        trained.append(end - begin)
        return part(self, settings, begin, end, *shares)

    monkeypatch.setattr(Training, "part", counted)
    monkeypatch.setattr(rotation, "EPOCHS", 2)
    model, busiest = rotation.trained(matrix, {"loss": "warp"}, plan, 3, seed=1)
    assert sum(trained) == rotation.EPOCHS * matrix.nnz
    assert busiest >= 1
    fresh = LightFM(rotation.NO_COMPONENTS, loss="warp", random_state=1).fit(matrix, epochs=0)
    for name in ("user_embeddings", "item_embeddings"):
        moved = (getattr(model, name) != getattr(fresh, name)).any(axis=1)
        assert moved.mean() > 0.9
