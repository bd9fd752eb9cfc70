"""A client in another language: adds tasks for two agents by turns, reads results as they come, and prints those of its
tasks, a line of JSON each, once it has all."""

import json
import sys

import redis

TASKS, RESULTS = "aurora:agent:tasks", "aurora:agent:results"
url, count = sys.argv[1], int(sys.argv[2])
server = redis.Redis.from_url(url, decode_responses=True)
newest = server.xrevrange(RESULTS, count=1) if server.exists(RESULTS) else []
last = newest[0][0] if newest else "0-0"
waiting = set()
for number in range(count):
    for agent in ("enrich", "errand"):
        task = f"{agent}-{number}"
        question = json.dumps({"do": "echo", "say": f"word {number}"})
        server.xadd(TASKS, {"task_id": task, "agent": agent, "input": question})
        waiting.add(task)
while waiting:
    for _, entries in server.xread({RESULTS: last}, block=1000) or []:
        for last, fields in entries:
            if fields["task_id"] in waiting:
                waiting.remove(fields["task_id"])
                print(json.dumps(fields), flush=True)
