#!/usr/bin/env bash
# A small corpus of real tweets with their photos, from the raw files to a first score.
#
#   examples/small-corpus.sh [DATA] [OUT]      DATA: ../shared/data, OUT: build/small-corpus
#
# Run it again, and it goes on where it was stopped; remove OUT to begin anew. `make setup` must have been run once.
#
# NOBODY HAS LABELLED THESE TWEETS, and nobody does here. Two annotators and an inspector are simulated: they take for
# the truth what a small pipeline finds, corrected by a list of names that was written by hand (examples/names.jsonl),
# and depart from it at the rates that are set below. So the agreement tells these rates, and the scores tell that
# everything runs. Neither says anything about the tweets.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
data=${1:-$root/../shared/data}
out=${2:-$root/build/small-corpus}
bin=${BIN:-$root/.venv/bin}
steps=${STEPS:-600} # of the training of the pipeline

stop() {
    printf 'small-corpus: %s\n' "$*" >&2
    exit 1
}

step() { printf '\n== %s\n' "$*"; }

# The verbs of babelens and of spaCy, in the environment that `make setup` has made.
babelens() { "$bin/babelens" "$@"; }
python() { "$bin/python" "$@"; }

[[ -x $bin/babelens ]] || stop "found no babelens in $bin; run \`make setup\` first"
python -c 'import spacy' 2>/dev/null || stop "found no spaCy in $bin; pip install 'babelens[build]'"
tweets=$data/event-tweets
for needed in "$tweets/tweets.jsonl" "$tweets/images" "$data/twitter2017/train.txt" "$data/twitter2017/valid.txt" \
    "$data/xlime-tweets/de.txt" "$data/xlime-tweets/es.txt" "$data/wikineural/fr/valid.txt"; do
    [[ -e $needed ]] || stop "found no $needed. This example needs the real data sets event-tweets, twitter2017," \
        "xlime-tweets and wikineural, which are not part of the project; name their folder: $0 DATA"
done
# spaCy colours what it prints even where nobody sees colours.
[[ -t 1 ]] || export ANSI_COLORS_DISABLED=1
bin=$(cd "$bin" && pwd) data=$(cd "$data" && pwd) tweets=$data/event-tweets
mkdir -p "$out"
cd "$out"

step "1. captions: tweets in the four languages of the paper; what has no language is left out"
babelens build captions "$tweets/tweets.jsonl" --out captions --languages en,fr,de,es --source event-tweets

step "2. images: a status for each picture, and the good ones in one folder"
babelens build images captions --out pictured --images "$tweets/images"

step "3. preannotate: a small spaCy pipeline for all four languages, trained here on tweets and Wikipedia"
if [[ ! -d pipeline ]]; then
    # Shares, so that English tweets do not drown in the other languages, and it takes half a minute.
    python "$here/spacy_corpus.py" train.spacy "$data/twitter2017/train.txt" "$data/xlime-tweets/es.txt:0.2" \
        "$data/xlime-tweets/de.txt:0.2" "$data/wikineural/fr/valid.txt:0.05"
    python "$here/spacy_corpus.py" valid.spacy "$data/twitter2017/valid.txt"
    python -m spacy init config --lang xx --pipeline ner --optimize efficiency --force pipeline.cfg >/dev/null
    python -m spacy train pipeline.cfg --output trained --paths.train train.spacy --paths.dev valid.spacy \
        --training.max_steps "$steps" --training.eval_frequency 200
    # In place at the end only, so that a training that was stopped is not taken for a pipeline.
    mv trained/model-best pipeline
    rm -r trained
fi
quality=$(python -c "import json; print(round(100 * json.load(open('pipeline/meta.json'))['performance']['ents_f'], 1))")
pipelines() { printf -- '--pipeline %s\n' "en=$1" "fr=$1" "de=$1" "es=$1"; }
# shellcheck disable=SC2046  # several words are meant
babelens build preannotate pictured --out labelled $(pipelines pipeline)

step "4. annotate: SIMULATED people; see the head of this file for what they take for the truth"
if [[ ! -d corrected ]]; then
    python "$here/add_names.py" pipeline "$here/names.jsonl" corrected.new
    mv corrected.new corrected
fi
# shellcheck disable=SC2046
babelens build preannotate pictured --out truth $(pipelines corrected)
printf '%s\n' \
    '{"name": "simulated-ada", "inspects": false}' \
    '{"name": "simulated-bo", "inspects": false}' \
    '{"name": "simulated-eve", "annotates": false}' >people.jsonl
babelens build annotate assign labelled --people people.jsonl --work annotation --batch 100
babelens build annotate simulate truth --work annotation --seed 1 \
    --missed 0.08 --boundary 0.04 --type 0.04 --invented 0.03 --right 0.95 --rate 0.1
# The rows that people would have corrected are those of the pipeline, so the trail begins with its labels.
babelens build annotate gold labelled --work annotation --out gold

step "5. agreement of the SIMULATED annotators, and a sheet for a real audit"
babelens build agreement annotation/annotations.jsonl --rows labelled --out agreement
babelens build audit gold --out audit -n 50 --images pictured/images

simulated="SIMULATED: no person has labelled or inspected anything. The labels are those of a small spaCy pipeline"
simulated+=" (F1 $quality on twitter2017/valid), corrected by a list of names, with mistakes made up at set rates."

step "6. assemble: no copies, 8:1:1 without leakage, a card"
babelens build assemble gold --images pictured/images --out corpus --seed 1 \
    --title "Event tweets, a small example with SIMULATED annotators" \
    --licence "event-tweets=Apache-2.0 (the collection); tweets and photos belong to their authors" \
    --agreement agreement/agreement.json --step captions --step pictured --step labelled \
    --compare "twitter2017=$data/twitter2017" \
    --limit "$simulated" \
    --limit "The agreement is that of simulated annotators, and tells the rates that were set for them." \
    --limit "The tweets were collected because many of their pictures are doctored or out of context."

step "7. the data set can be used"
babelens data check corpus
resume=$([[ ! -e run/run.json ]] || echo --resume)
babelens train 2m-ner --data corpus --encoders compact --set training.epochs=1 \
    --set training.batch=4 --set training.rate=3e-3 --out run $resume

step "8. scores on the test part: ONE epoch on SIMULATED labels, to see that it runs"
babelens evaluate run/model --data corpus

printf '\nThe card: %s\nThe agreement: %s\nThe audit sheet: %s\n' \
    "$PWD/corpus/README.md" "$PWD/agreement/agreement.md" "$PWD/audit/sheet.html"
