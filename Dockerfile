# Two images from one file.
#
# The server, without torch; it is the default. Its root may be read-only: it writes to /tmp alone.
#   docker build -t hardener-serving .
#   docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:3000:3000 \
#     -v "$PWD/runs/NAME:/models:ro" -e HARDENER_BUNDLE=/models/bundle hardener-serving
# The mount is the folder around the bundle's, so that a bundle that is renamed into place there is found by a reload.
# The same for an NVIDIA GPU; run it with `--gpus all`:
#   docker build -t hardener-serving-gpu --build-arg 'ONNXRUNTIME=onnxruntime-gpu[cuda,cudnn]' .
#
# The command line with torch, for training, evaluation and export:
#   docker build -t hardener --target training .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/project" hardener train resnet50.py --data imgs

# It needs BuildKit, which Docker 23 and newer build with by default; before that: DOCKER_BUILDKIT=1.
# Another package index than pip's own: --build-arg PIP_INDEX_URL=https://HOST/simple. The address is told in the
# image's history, so it should hold no password.

# An argument, so that a mirror or a digest can be named without an edit.
ARG PYTHON=python:3.11-slim-bookworm


FROM ${PYTHON} AS wheel
ARG PIP_INDEX_URL
WORKDIR /source
COPY constraints.txt ./
# The tools that build are pinned like all else: without this pip would fetch their newest for itself.
RUN pip install --no-cache-dir --only-binary :all: -c constraints.txt hatchling
COPY pyproject.toml README.md LICENSE ./
COPY hardener hardener
COPY recipes recipes
COPY serving serving
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .


FROM ${PYTHON} AS training
ARG PIP_INDEX_URL
# From wheels alone: the image has no compiler, and a package's build script should not run in it.
RUN --mount=type=bind,source=constraints.txt,target=/build/constraints.txt \
    --mount=type=bind,from=wheel,source=/wheels,target=/build/wheels \
    pip install --no-cache-dir --only-binary :all: -c /build/constraints.txt \
        "hardener[timm] @ file://$(ls /build/wheels/*.whl)"
# Whatever number runs this has no entry in /etc/passwd; caches and settings need a home all the same.
# ONNX Runtime reports the models that it loads to its makers unless told not to before it starts.
ENV HOME=/tmp \
    ORT_DISABLE_TELEMETRY=1
WORKDIR /project
USER 65532:65532
ENTRYPOINT ["hardener"]


FROM ${PYTHON} AS serving
ARG PIP_INDEX_URL
ARG ONNXRUNTIME=onnxruntime
# constraints.txt pins onnxruntime-gpu, which training installs; both builds of ONNX Runtime share their versions.
# The wheel goes in without its dependencies, for they name torch.
RUN --mount=type=bind,source=constraints.txt,target=/build/constraints.txt \
    --mount=type=bind,source=serving/requirements.txt,target=/build/requirements.txt \
    --mount=type=bind,from=wheel,source=/wheels,target=/build/wheels \
    sed 's/^onnxruntime-gpu==\(.*\)/&\nonnxruntime==\1/' /build/constraints.txt > /tmp/constraints.txt \
    && sed "s/^onnxruntime$/${ONNXRUNTIME}/" /build/requirements.txt > /tmp/requirements.txt \
    && pip install --no-cache-dir --only-binary :all: -c /tmp/constraints.txt -r /tmp/requirements.txt \
    && pip install --no-cache-dir --no-deps /build/wheels/*.whl \
    && rm /tmp/constraints.txt /tmp/requirements.txt
# BentoML makes itself a home. It and ONNX Runtime report to their makers unless told not to before they start; BentoML
# understands no word but True.
ENV HARDENER_BUNDLE=/bundle \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=True \
    ORT_DISABLE_TELEMETRY=1
# A folder of its own: BentoML puts the working directory before all other places to import from.
WORKDIR /service
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 3000
# No proxy: one that the environment names would be asked for 127.0.0.1 too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:3000/readyz', timeout=4)"]
# As `hardener serve` starts it: done within the ten seconds that Docker waits after SIGTERM, of which it goes on for
# HARDENER_DRAIN_S and then finishes what is in work within HARDENER_STOP_S.
CMD ["python", "-m", "bentoml", "serve", "hardener.serving.service:HardenerService", \
     "--host", "0.0.0.0", "--port", "3000", "--working-dir", "/service"]
