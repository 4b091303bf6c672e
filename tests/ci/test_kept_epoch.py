"""ci/kept_epoch.py: trainings on several numbers of threads, compared."""

from ci import kept_epoch


def test_it_fails_where_results_differ_by_more_than_the_limits(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["kept_epoch.py", "7"])
    for apart, well in ((0.004, True), (0.006, False)):

        def trained(threads, accelerate, seeds, apart=apart):
            accuracy = 0.5 + apart * (accelerate == "generic" and threads == 4)
            return [{"best_epoch": threads, "metrics": {"accuracy": accuracy, "log_loss": 0.3}}]

        monkeypatch.setattr(kept_epoch, "trained", trained)
        assert kept_epoch.main() == well
        head, *lines = capsys.readouterr().out.splitlines()
        assert [line.split()[:5] for line in lines] == [
            [engine, "7", "1,", "2,", "4"] for engine in ("compiled", "plain")
        ]
        assert lines[1].split()[5:] == [f"{apart:.4f}", "0.000000"]


def test_a_training_on_two_threads_is_that_on_one():
    (one,), (two,) = (kept_epoch.trained(n, "auto", [3]) for n in (1, 2))
    assert one["best_epoch"] == two["best_epoch"] and one["metrics"] == two["metrics"]
