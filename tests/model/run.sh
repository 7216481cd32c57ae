#!/usr/bin/env bash
# Checks the models of the pool with spin: tests/model/run.sh [--mutants]
#
# Fails on a violated assertion, on an end where somebody hangs, on a search that is not complete, and on a line of a
# model that no run reaches. With --mutants, faults are put into the models one by one, and each has to be found.
# What has been built stays in build/model; MODEL_JOBS=N is how many mutants are tried at a time (default: the cores).
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$PWD/build/model

for command in spin gcc; do
    command -v $command >/dev/null || { echo "model: $command is missing: apt-get install $command" >&2; exit 1; }
done

# MODEL RUN FAULT: the run of the model that finds it (see its `init`).
mutants="
wake 1 M_NO_CALL
wake 1 M_CLEARS_LATE
wake 1 M_IDLE_NO_SEARCH
wake 3 M_GUARD_NO_SEARCH
wake 3 M_GUARD_SLEEPS_ON
wake 6 M_POSTS_TWICE
wake 4 M_POST_NOT_CONSUMED
wake 8 M_LEAVES_POSTED
wake 6 M_LEAVES_SEARCHING
wake 11 M_LEAVES_NO_SEARCH
wake 9 M_LEAVES_EARLY
wake 9 M_LEAVES_NOT_TOLD
wake 1 M_REFUSED_SEARCHING
wake 10 M_REFUSED_NO_CALL
wake 1 M_REFUSED_NO_SEARCH
wake 8 M_REFUSED_NOT_TOLD
wake 8 M_NOT_INSIDE
wake 8 M_CLOSES_NO_WAKE
room 1 M_NEVER_ASKS
room 1 M_NO_SECOND_LOOK
room 1 M_NO_FENCE
room 1 M_NOT_PASSED_ON
room 1 M_STAYS_SIGNALLED
room 3 M_PATIENT_FOR_OTHERS
room 5 M_RESIZES_NO_OFFER
room 6 M_CLOSES_NO_BROADCAST
room 6 M_BATCH_OUTSIDE
"

search() { # DIRECTORY MODEL SWITCH...: searches all there is; the report is DIRECTORY/out
    local directory=$1 model=$2
    shift 2
    rm -rf "$directory"
    mkdir -p "$directory" && cp "tests/model/$model.pml" "$directory" && cd "$directory" || return 1
    # Without optimization: it would take longer to compile than it saves.
    if ! { spin -a "$@" "$model.pml" && gcc -O0 -w -DSAFETY -DNOFAIR -DCOLLAPSE -DMEMLIM=900 -o pan pan.c; } \
        >build.log 2>&1; then
        cat build.log
        cd - >/dev/null
        return 1
    fi
    ./pan -m20000 -w22 >out 2>&1
    cd - >/dev/null || return 1
}

is_complete() { # OUT
    grep -q '^State-vector .* errors: ' "$1" && ! grep -qE 'not completed|too small|out of memory|MEMLIM|aborting' "$1"
}

unreached() { # DIRECTORY MODEL: the lines of which no copy is reached; inlines make many copies of one
    ( cd "$1" && ./pan -d >table 2>/dev/null; awk -v model="$2" '
        FNR == 1 { file++ }
        /^proctype / { process = $2 }
        /^init/ { process = "init" }
        /^unreached in (proctype|init)/ { process = $3 == "init" ? "init" : $4 }
        file == 1 && $1 == "state" && match($0, model "\\.pml:[0-9]+") {
            line[process " " $2] = substr($0, RSTART + length(model) + 5, RLENGTH - length(model) - 5)
        }
        file == 2 && match($0, /state [0-9]+,/) { missed[process " " substr($0, RSTART + 6, RLENGTH - 7)] = 1 }
        END {
            for (s in line) { all[line[s]] = 1; if (!(s in missed)) reached[line[s]] = 1 }
            for (l in all) if (!(l in reached)) print l
        }' table out | sort -n | while read -r line; do
        echo "$2.pml:$line: not reached: $(sed -n "${line}s/^ *//p" "$2.pml")"
    done )
}

check() { # MODEL
    local directory=$work/$1 begun=$SECONDS missed
    search "$directory" "$1" || return 1
    if ! is_complete "$directory/out" || ! grep -q ' errors: 0$' "$directory/out"; then
        grep -E '^pan:|^error|not completed|errors:' "$directory/out"
        [ ! -e "$directory/$1.pml.trail" ] || echo "The way to it: cd $directory && spin -t -p -g -l $1.pml"
        return 1
    fi
    missed=$(unreached "$directory" "$1")
    [ -z "$missed" ] || { echo "$missed"; return 1; }
    echo "model: $1: $(awk '/states, stored/ { print $1 }' "$directory/out") states," \
        "$(awk '/total actual memory/ { print int($1) }' "$directory/out") MB, $((SECONDS - begun)) s"
}

try() { # MODEL RUN FAULT: whether the fault is found
    local directory=$work/mutants/$3
    search "$directory" "$1" "-DRUN=$2" "-D$3" || return 1
    if grep -qE '^pan:1: (assertion violated|invalid end state)' "$directory/out"; then
        echo "model: $3: found"
    else
        echo "model: $3: NOT FOUND by run $2 of $1"
        return 1
    fi
}

case ${1-} in
--mutants)
    for name in $(grep -ohE '\bM_[A-Z_]+' tests/model/*.pml | sort -u); do
        grep -q " $name\$" <<<"$mutants" || { echo "model: $name is never tried" >&2; exit 1; }
    done
    export work
    export -f search try
    grep . <<<"$mutants" | xargs -P "${MODEL_JOBS:-$(nproc)}" -L 1 bash -c 'try "$@"' sh ||
        { echo "model: a mutant survived" >&2; exit 1; }
    ;;
"")
    failed=
    for model in wake room; do
        check $model || failed="$failed $model"
    done
    [ -z "$failed" ] || { echo "model: failed:$failed" >&2; exit 1; }
    ;;
*)
    echo "usage: tests/model/run.sh [--mutants]" >&2
    exit 2
    ;;
esac
