"""A worker in another language, written with redis-py as its documentation shows it. It does tasks of the agent
"enrich". Its group gives it others' as well: those it leaves unacknowledged, for whoever does them."""

import json
import sys

import redis

TASKS, GROUP, RESULTS = "aurora:agent:tasks", "aurora-agents", "aurora:agent:results"
url, name = sys.argv[1:]
server = redis.Redis.from_url(url, decode_responses=True)
try:
    server.xgroup_create(TASKS, GROUP, id="0", mkstream=True)
except redis.ResponseError as error:
    if "BUSYGROUP" not in str(error):
        raise


def do(entry, fields):
    if fields.get("agent") != "enrich":
        return
    question = json.loads(fields["input"])
    result = {
        "task_id": fields.get("task_id", entry),
        "agent": "enrich",
        "status": "completed",
        "output": json.dumps({"said": question["say"].upper()}),
        "worker": name,
    }
    # In one step. Nobody trims the stream of tasks: whoever has done one removes it.
    with server.pipeline(transaction=True) as step:
        step.xadd(RESULTS, result, maxlen=50_000, approximate=True)
        step.xack(TASKS, GROUP, entry)
        step.xdel(TASKS, entry)
        step.execute()


while True:
    _, left, _ = server.xautoclaim(TASKS, GROUP, name, min_idle_time=60_000, start_id="0-0", count=10)
    for entry, fields in left:
        do(entry, fields)
    for _, entries in server.xreadgroup(GROUP, name, {TASKS: ">"}, count=1, block=100) or []:
        for entry, fields in entries:
            do(entry, fields)
