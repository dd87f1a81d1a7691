"""Searches the design space: points of a grid, each compiled, verified, trained and measured, driven by Optuna.

`grid` reads GRID.yaml, `keys` says which keys may vary, `points` lists the points that are tried, `variant` makes the spec of a point.
`storage` keeps the trials, `queue` hands them to workers and takes back those of workers that died, `attempt` tries one, `measure` measures
it, `worker` is a process that tries one after another, `supervisor` keeps workers going. `leaderboard` and `page` show the results.
"""
