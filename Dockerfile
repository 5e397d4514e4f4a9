# The one image of Floorlog: worker, keeper, page, migration, rotation. See docs/howto/deploy.md.
#   docker build -t REPOSITORY:VERSION .
# Another base needs a Python of 3.11 or later at the same place in both stages: --build-arg BASE=…
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
# Tools of the build come from a lock as well; nothing of them is in the image.
COPY requirements.lock requirements-image.lock ./
RUN python3 -m venv /build/tools \
    && /build/tools/bin/pip install --quiet --no-cache-dir --no-deps --require-hashes -r requirements.lock \
    && python3 -m venv --without-pip /opt/floorlog \
    && /build/tools/bin/pip --python /opt/floorlog/bin/python install --quiet --no-cache-dir \
        --no-deps --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /build/tools/bin/python -m hatchling build -t wheel -d /build/wheel \
    && /build/tools/bin/pip --python /opt/floorlog/bin/python install --quiet --no-cache-dir \
        --no-deps --no-index /build/wheel/*.whl \
    && find /opt/floorlog -type d -name tests -prune -exec rm -rf {} + \
    && install -d -m 0700 -o 10001 -g 10001 /build/scratch

FROM ${BASE}
# Authorities of RDS in all regions; a newer file of AWS can be laid over it.
COPY docker/rds-ca.pem /etc/floorlog/rds-ca.pem
COPY --from=build /opt/floorlog /opt/floorlog
COPY --from=build --chown=10001:10001 /build/scratch /run/floorlog
# Bytecode is there already, and assertions stay on: neither -O nor PYTHONOPTIMIZE.
ENV PATH=/opt/floorlog/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/run/floorlog \
    FLOORLOG_HEALTH_FILE=/run/floorlog/heartbeat
# The one place that is written; all else may be read-only.
VOLUME /run/floorlog
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 CMD ["floorlog", "health"]
ENTRYPOINT ["floorlog"]
CMD ["worker"]
