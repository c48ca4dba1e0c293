"""Every step of making a data set, killed at random moments and repeated: the same files, bit for bit.

One process has all imports behind it and starts the commands as children of its own, so that a kill at a random moment
of a command's measured time falls into its work, and commands cost no more than that. Checkpoints, which are two
seconds apart, are made every fiftieth of a second here.
"""

import json
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from random import Random
from shutil import copytree

import pytest
from PIL import Image

from babelens.build.annotation.assign import Assignment
from babelens.build.annotation.lines import read_records, read_rows
from babelens.build.annotation.lines import write_lines as write_records
from babelens.build.annotation.merge import Case
from babelens.build.annotation.simulate import Errors, simulate_annotators, simulate_inspectors
from babelens.build.annotation.tasks import region
from babelens.build.results import kept
from babelens.build.rows import read_input
from babelens.build.step import Step, run_step, run_whole_step
from babelens.build.translate_handoff import Request, write_requests

spacy = pytest.importorskip("spacy", reason="the extra build is not installed")

STARTER = """
import os, sys
from time import perf_counter, sleep
from importlib import import_module
for name in ("spacy", "datasets", "matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.style",
             "matplotlib.backends.backend_svg", "PIL.Image",
             "babelens.build.agreement_plots", "babelens.build.annotation.work", "babelens.build.assemble",
             "babelens.build.audit_sample", "babelens.build.audit_sheet", "babelens.build.choose",
             "babelens.build.captions", "babelens.build.preannotate_model", "babelens.build.preannotate_pipelines",
             "babelens.build.projection_vectors", "babelens.build.translate_handoff", "babelens.build.translators"):
    import_module(name)
from babelens.build import captions, choose, preannotate, step
from babelens.cli.main import answer
for function in (captions.take_captions, choose.choose_rows, preannotate.preannotate_rows, step.run_step):
    function.__kwdefaults__["seconds"] = 0.02
for line in sys.stdin:
    moment, folder, *arguments = line.rstrip("\\n").split("\\t")
    started, child = perf_counter(), os.fork()
    if not child:
        os.chdir(folder)
        os.dup2(os.open("../printed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        code = 99
        try:
            code = answer(["build", *arguments])
        finally:
            sys.stdout.flush()
            os._exit(code)
    if moment:
        sleep(float(moment))
        os.kill(child, 9)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, perf_counter() - started, flush=True)
"""
PEOPLE = ["simulated-ann", "simulated-bo", "simulated-cy", "simulated-di"]
NAMES = {"PER": ["Anna Reed", "Tom Hale", "Omar Sy"], "LOC": ["Paris", "Riga", "Köln"], "ORG": ["Siemens", "Arte"]}
TYPES = ["PER", "LOC", "ORG", "MISC"]
ROWS = 120


class Starter:
    """Runs commands as children of one process, and kills them when asked."""

    def __init__(self, cache):
        environment = {**os.environ, "BABELENS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", STARTER]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def run(self, folder, arguments, kill=None):
        """The exit code of a command (-9 where it was killed, after so many seconds), and the seconds it took."""
        assert self._process.stdin is not None and self._process.stdout is not None
        fields = ["" if kill is None else str(kill), str(folder), *arguments]
        self._process.stdin.write("\t".join(fields) + "\n")
        self._process.stdin.flush()
        code, seconds = self._process.stdout.readline().split()
        return int(code), float(seconds)

    def close(self):
        self._process.communicate()


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def begin(folder):
    """Captions with pictures, and the people."""
    draw = Random(5)
    lines = ["image_file\tcaption\tlang_id"]
    for number in range(ROWS):
        name, place, firm = (draw.choice(NAMES[type_]) for type_ in ("PER", "LOC", "ORG"))
        caption = f"{name} 🎉 leaves {firm} in {place} on day {number * 7919 % 997} of {draw.getrandbits(40):x}"
        lines.append(f"{number % 9}.jpg\t{caption}\ten")
    (folder / "captions.tsv").write_text("\n".join(lines) + "\n")
    write_lines(folder / "people.jsonl", [{"name": name} for name in PEOPLE])
    (folder / "images").mkdir()
    for number in range(8):
        Image.effect_noise((48, 40), 50 + number).save(folder / f"images/{number}.jpg")


def train(folder):
    """A small pipeline that has learnt the names."""
    from spacy.training import Example

    nlp = spacy.blank("en")
    found = nlp.add_pipe("ner")
    for type_ in NAMES:
        found.add_label(type_)
    draw, examples = Random(2), []
    for _ in range(60):
        names = {type_: draw.choice(own) for type_, own in NAMES.items()}
        text = f"{names['PER']} 🎉 leaves {names['ORG']} in {names['LOC']} on day {draw.randint(0, 997)}"
        places = [(text.index(name), text.index(name) + len(name), type_) for type_, name in names.items()]
        examples.append(Example.from_dict(nlp.make_doc(text), {"entities": places}))
    spacy.util.fix_random_seed(3)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(4):
        for batch in spacy.util.minibatch(examples, 20):
            nlp.update(batch, sgd=optimizer)
    nlp.to_disk(folder)


def translate(folder):
    rows = [json.loads(line) for line in (folder / "texts.jsonl").read_text().splitlines()]
    for row in rows:
        row["translation"] = row["text"].replace("leaves", "quitte").replace(" in ", " à ").replace("Köln", "Cologne")
    write_lines(folder / "translated.jsonl", rows)


def answers(folder, place, marked):
    """What Label Studio exports where simulated people have marked these entities."""
    (folder / place).mkdir()
    for name in PEOPLE:
        own = [one for one in marked if one.annotator == name]
        tasks = [
            {
                "id": number,
                "data": {"row": one.id, "text": one.text},
                "annotations": [
                    {
                        "id": number,
                        "completed_by": 1,
                        "created_at": f"2026-01-02T10:{number // 60:02}:{number % 60:02}Z",
                        "result": [region(span, str(place)) for place, span in enumerate(one.entities)],
                    }
                ],
            }
            for number, one in enumerate(own)
        ]
        (folder / place / f"{name}.json").write_text(json.dumps(tasks))


def annotate(folder):
    assignments = read_records(folder / "work/assignment.jsonl", Assignment)
    errors = Errors(missed=0.1, boundary=0.1, type=0.1, invented=0.1)
    answers(folder, "marked", simulate_annotators(read_rows(folder / "french"), assignments, TYPES, errors))


def inspect(folder):
    cases = [case for case in read_records(folder / "work/cases.jsonl", Case) if case.inspect]
    queue = [(case.id, case.inspector, case.first.entities, case.second.entities) for case in cases]
    answers(folder, "decided", simulate_inspectors(read_rows(folder / "french"), queue, 0.9))


def audit(folder):
    path = folder / "audit/sheet.csv"
    lines = path.read_text().splitlines()
    verdict = lines[0].split(",").index("verdict")
    for number, line in enumerate(lines[1:], 1):
        cells = line.split(",")
        cells[verdict] = "right" if "-e" in cells[1] else ""
        lines[number] = ",".join(cells)
    (folder / "sheet.csv").write_text("\n".join(lines) + "\n")


def exports(place):
    return " ".join(f"{name}={place}/{name}.json" for name in PEOPLE)


# What is done before a command by others than us, and the command.
CHAIN = [
    (begin, "captions captions.tsv --out rows --languages en"),
    (None, "preannotate rows --out labelled --pipeline en=../pipeline --batch 4"),
    (None, "choose labelled --out chosen --number en=90 --entities 1 --seed 1"),
    (None, "translate chosen --to fr --export texts.jsonl"),
    (translate, "translate chosen --to fr --translations translated.jsonl --out french"),
    (None, "annotate assign french --people people.jsonl --work work --batch 50"),
    (None, "annotate export french --work work --images images"),
    (annotate, f"annotate import french {exports('marked')} --work work"),
    (None, "annotate merge french --work work --rate 0.2"),
    (None, "annotate inspect french --work work --images images"),
    (inspect, f"annotate import french {exports('decided')} --work work --part inspections"),
    (None, "annotate gold french --work work --out gold"),
    (None, "agreement work/annotations.jsonl --rows french --out agreement --draws 20"),
    (None, "audit gold --out audit -n 20 --images images"),
    (audit, "audit-result audit --sheet sheet.csv"),
    (None, "assemble gold --out data --images images --agreement agreement/agreement.json --step rows --step french"),
]


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The folders before and after each command of a chain that nothing disturbs, and the seconds of each."""
    place = tmp_path_factory.mktemp("chain")
    train(place / "pipeline")
    starter, folder, done = Starter(place / "cache"), place / "whole", []
    folder.mkdir()
    for number, (others, command) in enumerate(CHAIN):
        if others is not None:
            others(folder)
        before = copytree(folder, place / f"before-{number}")
        code, seconds = starter.run(folder, command.split())
        assert code == 0, (place / "printed").read_text()
        done.append((before, copytree(folder, place / f"after-{number}"), seconds))
    yield starter, done
    starter.close()


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kill(chain, number, draw):
    """Kill a command at a moment drawn over its time and repeat it; say what was killed, None where it was done."""
    starter, done = chain
    before, after, seconds = done[number]
    command = CHAIN[number][1]
    trial = copytree(before, before.with_name(f"trial-{draw.getrandbits(32):x}"))
    moment = draw.uniform(0, seconds)
    code, _ = starter.run(trial, command.split(), kill=moment)
    assert code in (0, -signal.SIGKILL)
    left = content(trial)
    new = sorted(name for name in left if left[name] != content(before).get(name))
    told = f"{command}: killed after {moment:.3f} of {seconds:.3f} s; {', '.join(new) or 'nothing'} written by then"
    assert starter.run(trial, command.split())[0] == 0, f"{told}\n{(trial.parent / 'printed').read_text()}"
    found, expected = content(trial), content(after)
    differ = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    assert not differ, f"{told}; others than without a kill: {', '.join(differ)}"
    return told if code else None


def test_the_chain_makes_a_data_set(chain):
    _, done = chain
    made = content(done[-1][1])
    assert not [name for name in made if Path(name).name.startswith(".") or name.endswith((".new", ".part"))]
    assert json.loads(made["data/step.json"])["counts"]["leaks"] == 0
    assert json.loads(made["work/cases.jsonl"].splitlines()[0])["inspector"] in PEOPLE


def test_three_kills(chain):
    draw, killed = Random(17), []
    while len(killed) < 3:
        if told := kill(chain, draw.randrange(len(CHAIN)), draw):
            killed.append(told)
            print(told)


@pytest.mark.long
def test_every_command_killed(chain):
    draw = Random(29)
    for number in range(len(CHAIN)):
        while not (told := kill(chain, number, draw)):
            pass
        print(told)


def killed_before(operation, work):
    """Do work in a process of its own that is killed before its n-th operation on a name; whether it came so far."""
    child = os.fork()
    if not child:
        left = iter(range(operation, -1, -1))

        def counted(function):
            def counting(*arguments, **options):
                if not next(left):
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return counting

        for name in ("replace", "unlink", "mkdir", "rmdir", "open"):
            setattr(os, name, counted(getattr(os, name)))
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def rows_of(folder):
    write_lines(folder / "in.jsonl", [{"id": f"r{number}", "text": "text"} for number in range(3)])
    return read_input(folder / "in.jsonl")


def by_rows(folder):
    run_step(Step("a"), rows_of(folder), folder / "out", lambda rows: map(kept, rows), seconds=0.0)


def whole(folder):
    def make(place):
        (place / "own").mkdir()
        (place / "own/file").write_bytes(b"own")
        return {"rows": 1}

    run_whole_step(Step("b"), rows_of(folder), folder / "out", make)


def handed(folder):
    write_requests(folder / "out.jsonl", [Request("a", "text", "en", "fr")])


def listed(folder):
    write_records(folder / "out/lines.jsonl", [{"id": "a"}])


@pytest.mark.parametrize("work", [by_rows, whole, handed, listed])
def test_a_kill_before_each_operation_on_a_name(work, tmp_path):
    (tmp_path / "expected").mkdir()
    work(tmp_path / "expected")
    for operation in count():
        folder = tmp_path / str(operation)
        folder.mkdir()
        killed = killed_before(operation, lambda folder=folder: work(folder))
        work(folder)
        assert content(folder) == content(tmp_path / "expected"), operation
        if not killed:
            assert operation > 1
            break
