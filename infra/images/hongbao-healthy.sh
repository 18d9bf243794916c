#!/bin/sh
# hongbao-healthy PORT PATH: whether a process of this container answers 200 on its admin port. The image has no curl.
exec node -e '
  const [port, path] = process.argv.slice(1);
  fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(3000) })
    .then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1));
' "$1" "$2"
