#!/usr/bin/env bash
# Label Studio in an environment of its own, apart from .venv, with its data in one folder and nothing sent anywhere.
#
#   scripts/label-studio.sh install              makes .label-studio/env, or says that it is there (about 1 GB)
#   scripts/label-studio.sh start PORT DATA [PICTURES]
#
# `start` stays in the foreground and listens on 127.0.0.1 only. DATA is made where it is missing and holds the SQLite
# database and all else that Label Studio writes. Files under PICTURES (and nothing else of this machine) can be shown by
# projects that ask for a folder in it. The first account comes from LABEL_STUDIO_USERNAME (an e-mail address) and
# LABEL_STUDIO_PASSWORD; others sign up with the link that it finds under Organization, Invite.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

version=1.23.2
home=${LABEL_STUDIO_HOME:-$root/.label-studio}
env=$home/env
ready=$env/.ready-$version

fail() {
    printf 'label-studio: %s\n' "$*" >&2
    exit 1
}

install() {
    if [[ -e $ready ]]; then
        echo "Label Studio $version is in $env"
        return
    fi
    local python=${PYTHON:-python3} start=$SECONDS
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' ||
        fail "expected Python 3.10 to 3.13, found $("$python" --version 2>&1). Name another: PYTHON=python3.12"
    "$python" -m venv --clear "$env"
    echo "installing Label Studio $version into $env (several minutes)"
    "$env/bin/python" -m pip install --disable-pip-version-check -q "label-studio==$version" ||
        fail "pip could not install it, see above"
    touch "$ready"
    echo "installed in $((SECONDS - start)) s"
}

start() {
    [[ $# -ge 2 ]] || fail "expected: start PORT DATA [PICTURES]"
    [[ -e $ready ]] || fail "not installed yet: scripts/label-studio.sh install"
    local port=$1 data=$2 pictures=${3:-}
    # Label Studio would take the next port that is free, and its links would lead elsewhere.
    if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        fail "port $port: expected a free one, found that something listens there"
    fi
    # Nobody can sign up without a link, so a server without a first account is one that nobody can enter.
    [[ -e $data/label_studio.sqlite3 || (-n ${LABEL_STUDIO_USERNAME:-} && -n ${LABEL_STUDIO_PASSWORD:-}) ]] ||
        fail "the first account: expected LABEL_STUDIO_USERNAME and LABEL_STUDIO_PASSWORD, found one or both unset"
    # Only the owner may read the accounts and their tokens.
    mkdir -p -m 700 "$data"
    data=$(cd "$data" && pwd)
    [[ -z $pictures ]] || pictures=$(cd "$pictures" && pwd)

    # Label Studio reports usage and errors to its makers unless told not to.
    export COLLECT_ANALYTICS=false LATEST_VERSION_CHECK=false FEATURE_FLAGS_OFFLINE=true
    export SENTRY_DSN='' FRONTEND_SENTRY_DSN='' CONVERTER_DOWNLOAD_RESOURCES=false
    # An account needs the link of the organisation, and pages of other sites get no answer.
    export LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK=true LABEL_STUDIO_CORS_ALLOW_ALL_ORIGINS=false
    export LABEL_STUDIO_ALLOWED_HOSTS=127.0.0.1,localhost
    if [[ -n $pictures ]]; then
        export LOCAL_FILES_SERVING_ENABLED=true LOCAL_FILES_DOCUMENT_ROOT=$pictures
    else
        export LOCAL_FILES_SERVING_ENABLED=false
    fi
    cd "$data"
    exec "$env/bin/label-studio" start --no-browser --internal-host 127.0.0.1 --port "$port" --data-dir "$data"
}

case ${1:-} in
    install) install ;;
    start) shift && start "$@" ;;
    *) fail "expected install or start, found '${1:-nothing}'" ;;
esac
