#!/bin/sh
# publish.sh TAG: builds the images and pushes them where `base` made their repositories. A tag is written once.
# Needs docker, and the aws command line with an account's credentials.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
root=$here/../..
tag=${1:?"usage: publish.sh TAG (such as 1.4.0)"}
platform=${PLATFORM:-linux/amd64}

urls=$(terraform -chdir="$root/terraform/base" output -json event_variables)
url_of() { # the repository of an image
  printf '%s' "$urls" | node -e '
    const { base } = JSON.parse(require("fs").readFileSync(0, "utf8"));
    process.stdout.write(base.repository_urls[`${base.name}/${process.argv[1]}`]);
  ' "$1"
}
registry=$(url_of node | cut -d/ -f1)
region=$(printf '%s' "$registry" | cut -d. -f4)
aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$registry"

for image in node haproxy; do
  docker build --platform "$platform" -f "$here/Dockerfile" --target "$image" -t "$(url_of "$image"):$tag" "$root"
  docker push "$(url_of "$image"):$tag"
done
for image in prometheus alertmanager grafana; do
  docker build --platform "$platform" -f "$here/monitoring.Dockerfile" --target "$image" -t "$(url_of "$image"):$tag" "$root"
  docker push "$(url_of "$image"):$tag"
done
