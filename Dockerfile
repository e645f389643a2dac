# The server of one file, which is mounted at /model:
#
#   docker build -t lightfm-clone-server .
#   docker run -p 127.0.0.1:8000:8000 -v "$PWD/model:/model:ro" \
#       -e LIGHTFM_CLONE_TOKEN=... lightfm-clone-server /model/shop.rec

FROM python:3.12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++
COPY . /source
RUN pip install --no-cache-dir --no-compile --target /app "/source[serve]"
# Of SciPy the library uses scipy.sparse alone. The rest is more than half of the image.
RUN cd /app && rm -r bin scipy.libs scipy/sparse/linalg \
    && find scipy -mindepth 1 -maxdepth 1 -type d ! -name "_*" ! -name sparse -exec rm -r {} + \
    && find . -type d -name tests -prune -exec rm -r {} + \
    && find . \( -name "*.pyi" -o -name "*.a" -o -name "*.cpp" -o -name "*.hpp" \) -delete
# What was taken away is not missed.
RUN PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 python -c "import lightfm_clone.server.running"

FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* && useradd --system --no-create-home server
COPY --from=build /app /app
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER server
EXPOSE 8000
HEALTHCHECK --start-period=60s --timeout=5s CMD ["python", "-c", \
    "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["python", "-m", "lightfm_clone.server", "--host", "0.0.0.0"]
CMD ["/model/shop.rec"]
