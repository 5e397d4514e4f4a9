"""The local cloud: moto with our patches, a gate that enforces policies, Floorlog's own stream.

Run by the interpreter that has moto: `serve.py PORT KINESIS_URL`; it serves until it is ended.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import bucket_policies
import embedded_metrics
import member_clusters
import object_lock
import scaling_tags
import subnet_groups
import user_groups
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
    run_simple("127.0.0.1", port, gate, threaded=True)


if __name__ == "__main__":
    main()
