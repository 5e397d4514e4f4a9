"""The local cloud: moto with our patches, a gate that enforces policies, Floorlog's own stream.

Run by the interpreter that has moto: `serve.py PORT KINESIS_URL [FILE]`; it serves until it is
ended. The file, JSON, names real servers to stand for databases (`postgres`, `host`) and the cache
(`cache`, `cache_port`, `certificate`, `key`), and what runs a task (`python`, `variables`).
"""

import json
import os
import sys
from pathlib import Path

# AWS's own policies are there in every account.
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
sys.path.insert(0, str(Path(__file__).parent))

import bucket_policies
import databases
import embedded_metrics
import fargate
import member_clusters
import object_lock
import scaling_tags
import subnet_groups
import user_groups
from cache_door import Door
from gate import Gate
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple


def main() -> None:
    """Serve on loopback."""
    port, kinesis = int(sys.argv[1]), sys.argv[2]
    bucket_policies.apply()
    user_groups.apply()
    member_clusters.apply()
    object_lock.apply()
    scaling_tags.apply()
    subnet_groups.apply()
    embedded_metrics.apply()
    gate = Gate(DomainDispatcherApplication(create_backend_app), kinesis)
    if len(sys.argv) > 3:
        real = json.loads(Path(sys.argv[3]).read_text())
        fargate.apply(f"http://127.0.0.1:{port}", real["python"], real["variables"])
        databases.apply(real["postgres"], real["host"])
        certificate = (real["certificate"], real["key"])
        Door(real["cache_port"], real["cache"], certificate, gate.may_connect)
    run_simple("127.0.0.1", port, gate, threaded=True)


if __name__ == "__main__":
    main()
