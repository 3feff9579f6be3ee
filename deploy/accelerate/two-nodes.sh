#!/usr/bin/env bash
# One run on two machines, by deploy/accelerate/two-nodes.yaml (docs/deployment.md):
#   RUN_LAUNCH='env "REMOTE=ssh -tt trainer-2" deploy/accelerate/two-nodes.sh'
# REMOTE runs a command line on the second machine; -tt makes ssh end it there when it ends here.
set -euo pipefail

launch=(accelerate launch --config_file "${CONFIG:-deploy/accelerate/two-nodes.yaml}")

read -ra remote <<<"$REMOTE"
"${remote[@]}" "cd $(printf %q "$PWD") && PATH=$(printf %q "$PATH") $(printf '%q ' "${launch[@]}" --machine_rank 1 "$@")" \
    </dev/null &
exec "${launch[@]}" --machine_rank 0 "$@"
