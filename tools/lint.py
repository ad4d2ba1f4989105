#!/usr/bin/env python3
"""The rules of the house that no compiler checks; docs/style.md says what each is for.

  tools/lint.py [ROOT]            prints one line for each finding: path:line: rule: message
  tools/lint.py --longest [ROOT]  the ten longest files and functions

Exit 0 when there is no finding, 1 otherwise. tests/lint/ has a made-up tree for each rule.
"""
import os
import re
import sys
from typing import NamedTuple

# A folder of lib/ includes only itself and folders to its left.
ORDER = ("base env codec format journal pool index store cluster mirror backup access rpc").split()
CPP = (".cpp", ".hpp")
TEXT = CPP + (".py", ".md", ".txt", ".cmake", ".json", ".toml", ".proto", ".sh", ".yml", ".service")
SKIP = {"build", ".git", ".cache", "__pycache__", "node_modules"}
FILE_LINES_MAX = 700

# Libraries that only some folders may include.
DOORS = [
    ("grpc", r"grpc(pp)?/|google/protobuf/|.*\.pb\.h$", ("lib/rpc/", "daemon/", "client/admin/", "client/cli/")),
    ("rocksdb", r"rocksdb/", ("lib/index/",)),
    ("openssl", r"openssl/", ("lib/codec/", "lib/env/real/")),
    ("isa-l", r"isa-l(/|\.h)|(erasure_code|raid|crc)\.h$", ("lib/codec/",)),
    ("xxhash", r"xxhash\.h$|xxh_x86dispatch\.h$", ("lib/codec/",)),
    ("zstd", r"zstd\.h$", ("lib/codec/",)),
    ("boost", r"boost/", ("lib/env/real/", "daemon/", "client/")),
    ("liburing", r"liburing\.h$", ("lib/env/real/",)),
]

# What reaches outside of the process and so belongs behind lib/env. The second field says whether it
# is about files: the RocksDB half of the index keeps a folder of its own.
OUTSIDE = [
    (r"\b(system_clock|steady_clock|high_resolution_clock)::now\b", False, "the clock"),
    (r"\b(clock_gettime|gettimeofday|clock_nanosleep|nanosleep|usleep)\b", False, "the clock"),
    (r"(?<![\w.>])(std::|::)?time\s*\(\s*(nullptr|NULL|0|&)", False, "the clock"),
    (r"\bthis_thread::sleep_(for|until)\b", False, "the clock"),
    (r"(?<![\w.>])(std::|::)?(s?rand|rand_r|[dl]rand48|s?random_r)\s*\(", False, "random"),
    (r"(?<![\w>])::s?random\s*\(", False, "random"),
    (r"\b(random_device|mt19937(_64)?|minstd_rand0?|default_random_engine)\b", False, "random"),
    (r"\b(getrandom|getentropy|arc4random\w*)\b", False, "random"),
    (r"\b(RAND_(priv_)?bytes\w*|EVP_PKEY_keygen|EVP_PKEY_Q_keygen|EVP_PKEY_generate)\b", False,
     "random"),
    (r"\b(secure_)?getenv\b", False, "the environment"),
    (r"\bstd::(j?thread|async)\b(?!::id|::hardware_concurrency)", False, "threads"),
    (r"\b(fopen|fdopen|freopen|tmpfile|mkstemp)\s*\(", True, "files"),
    (r"\bO_(RDONLY|WRONLY|RDWR|CREAT|DIRECT|DIRECTORY|TMPFILE)\b", True, "files"),
    (r"(?<![\w>])::(open|openat|creat|read|pread|preadv2?|readv|write|pwrite|pwritev2?|writev|close|"
     r"fsync|fdatasync|ftruncate|fallocate|rename|unlink|mkdir|stat|fstat|flock|ioctl)\s*\(", True,
     "files"),
    (r"(?<![\w>])::(socket|connect|bind|listen|accept4?|send|recv|poll|epoll_\w+)\s*\(", False,
     "the network"),
    (r"\bstd::(basic_)?[oi]?fstream\b|\bstd::filesystem\b", True, "files"),
]
OUTSIDE_HEADERS = [
    (r"random$", False), (r"thread$", False), (r"fstream$|filesystem$", True),
    (r"(fcntl|sys/stat|sys/file|dirent)\.h$", True),
    (r"(sys/socket|sys/epoll|poll|sys/random|sys/eventfd)\.h$|(netinet|arpa)/", False),
]

# Marks of unfinished work and names of places where somebody works. Put together from halves, so that
# this file does not find itself.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" "DO", "FIX" "ME", "XX" "X")) + r")\b")
WORKPLACE = re.compile(r"(?<!\w)/wo" r"rk/|(?<![\w*])\.lib" r"rary\b")

# A document is named by its path.
SHORTHAND = re.compile(r"\b(PROTOCOL|DESIGN|CONTRACT)\b(\.md| \d+)?")


class Finding(NamedTuple):
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


class Tree:
    """Every file under a root, by its path with forward slashes; text is read once."""

    def __init__(self, root):
        self.root = root
        self.paths = []
        for folder, names, files in os.walk(root):
            names[:] = sorted(n for n in names if n not in SKIP)
            for name in sorted(files):
                self.paths.append(os.path.relpath(os.path.join(folder, name), root).replace("\\", "/"))
        self.known = set(self.paths)
        self._text, self._code = {}, {}

    def text(self, path):
        if path not in self._text:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as f:
                self._text[path] = f.read()
        return self._text[path]

    def code(self, path):
        """The text of a C++ file without comments and without what stands in quotes."""
        if path not in self._code:
            self._code[path] = strip(self.text(path))
        return self._code[path]

    def select(self, prefixes, suffixes):
        return [p for p in self.paths if p.startswith(prefixes) and p.endswith(suffixes)]

    def exists(self, path):
        return path in self.known or any(p.startswith(path.rstrip("/") + "/") for p in self.paths)

    def is_text(self, path):
        """Sources, documents, and programs without a suffix (tools/check)."""
        return path.endswith(TEXT) or ("." not in os.path.basename(path)
                                       and path.startswith(("tools/", ".ci/", "deploy/")))


TOKENS = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^\s()\\]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|'
    r"(?<![0-9A-Za-z_])(?:u8|[uUL])?'(?:\\.|[^'\\\n])+'", re.S)


def strip(text):
    def blank(match):
        token = match.group(0)
        inner = re.sub(r"[^\n]", " ", token)
        return f'"{inner[1:-1]}"' if token[0] in 'R"' and len(token) > 1 else inner
    return TOKENS.sub(blank, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.M)


def includes(tree, path):
    """(line, name, in angle brackets) of each include."""
    text = tree.text(path)
    return [(line_of(text, m.start()), m.group(2), m.group(1) == "<") for m in INCLUDE.finditer(text)]


# ---- layers and doors -------------------------------------------------------------------------


def check_order(tree):
    """A folder in lib/ includes only folders above it; env's real half only base and env."""
    for path in tree.select("lib/", CPP):
        parts = path.split("/")
        if len(parts) < 3 or parts[1] not in ORDER:
            yield Finding(path, 1, "folder", f"lib/ has only these folders: {' '.join(ORDER)}")
            continue
        allowed = ORDER[:ORDER.index(parts[1]) + 1]
        if path.startswith("lib/env/real/"):
            allowed = ["base", "env"]
        for line, name, angle in includes(tree, path):
            if angle or name.endswith(".pb.h"):  # generated; the doors say who may
                continue
            first = name.split("/")[0]
            if name.startswith("env/real/") and not path.startswith("lib/env/real/"):
                yield Finding(path, line, "order", "only mains and tests may include env/real")
            elif first not in allowed:
                yield Finding(path, line, "order", f'lib/{parts[1]} may not include "{name}"')


def check_doors(tree):
    """A library is included only behind its door."""
    for path in tree.select(("lib/", "daemon/", "client/"), CPP):
        for line, name, _ in includes(tree, path):
            for library, pattern, allowed in DOORS:
                if re.match(pattern, name) and not path.startswith(allowed):
                    yield Finding(path, line, "door",
                                  f"{library} may be included only in {', '.join(allowed)}")


def check_outside(tree):
    """No clock, random, file, thread or socket in lib/ but through lib/env."""
    for path in tree.select("lib/", CPP):
        if path.startswith("lib/env/") or path.startswith("lib/rpc/"):
            continue
        own_folder = path.startswith("lib/index/rocks_kv")
        code = tree.code(path)
        for pattern, files, what in OUTSIDE:
            if files and own_folder:
                continue
            for m in re.finditer(pattern, code):
                yield Finding(path, line_of(code, m.start()), "outside",
                              f"'{m.group(0).strip()}' reaches {what} past lib/env")
        for line, name, angle in includes(tree, path):
            for pattern, files in OUTSIDE_HEADERS:
                if angle and re.match(pattern, name) and not (files and own_folder):
                    yield Finding(path, line, "outside", f"<{name}> belongs behind lib/env")


def check_simulation(tree):
    """The simulation links every object of lib/ but env's real half and rpc."""
    top = "CMakeLists.txt"
    if not tree.exists(top):
        return
    core = re.search(r"square_sources\(\s*core_sources\s+([^)]*)\)", tree.text(top))
    named = set(core.group(1).split()) if core else set()
    needed = {p.split("/")[1] for p in tree.select("lib/", (".cpp",))
              if not p.startswith(("lib/rpc/", "lib/env/real/"))}
    for folder in sorted(needed - named):
        yield Finding(top, 1, "simulation", f"square_core must contain lib/{folder}")
    sims = [p for p in tree.select("tests/sim/", (".cpp",)) if p.count("/") == 2]
    tests = tree.text("tests/CMakeLists.txt") if tree.exists("tests/CMakeLists.txt") else ""
    if sims and not re.search(r'LINK_LIBRARY_OVERRIDE\s+"?WHOLE_ARCHIVE,square_core', tests):
        yield Finding("tests/CMakeLists.txt", 1, "simulation",
                      "simulation programs must link square_core as a whole archive")


# ---- files ------------------------------------------------------------------------------------


def check_dead_headers(tree):
    """Every header is included by somebody."""
    used = set()
    sources = [p for p in tree.paths if p.endswith(CPP)]
    for path in sources:
        used.update(name for _, name, _ in includes(tree, path))
    for path in sources:
        if path.endswith(".hpp") and not any(
                path == name or path.endswith("/" + name.lstrip("./")) for name in used):
            yield Finding(path, 1, "dead", "no file includes this header")


def check_dead_sources(tree):
    """Every .cpp is built: some CMake file names it or has a glob for it."""
    patterns, names = [], set()
    for path in tree.paths:
        if os.path.basename(path) == "CMakeLists.txt" or path.endswith(".cmake"):
            found, plain = cmake_sources(path, tree.text(path))
            patterns += found
            names |= plain
    for path in tree.paths:
        if path.endswith(".cpp") and path not in names and not any(p.fullmatch(path) for p in patterns):
            yield Finding(path, 1, "dead", "no CMake file builds this source")


def cmake_sources(path, text):
    """(compiled globs, plain names) of the sources that a CMake file mentions, from the root."""
    here = os.path.dirname(path)
    text = re.sub(r"#[^\n]*", "", text)
    folders = {f for m in re.finditer(r"square_sources\(\s*\w+\s+([^)$]*)\)", text)
               for f in m.group(1).split()}
    patterns, names = [], set()
    for m in re.finditer(r"[\w./${}*+-]+\.cpp", text):
        for folder in (folders if "${folder}" in m.group(0) else {""}):
            name = m.group(0).replace("${folder}", folder)
            rooted = name.startswith(("${CMAKE_SOURCE_DIR}/", "${PROJECT_SOURCE_DIR}/"))
            name = re.sub(r"^\$\{\w+\}/", "", name)
            name = re.sub(r"\$\{\w+\}", "*", name)  # a loop's variable may be anything
            name = os.path.normpath(name if rooted else os.path.join(here, name)).replace("\\", "/")
            if "*" not in name:
                names.add(name)
                continue
            before = text[:m.start()]
            recursive = before.rfind("GLOB_RECURSE") > before.rfind(")")
            folder, base = os.path.split(name)
            base = re.escape(base).replace(r"\*", "[^/]*")
            patterns.append(re.compile(re.escape(folder).replace(r"\*", "[^/]*")
                                       + ("/(.*/)?" if recursive else "/") + base))
    return patterns, names


def check_words(tree):
    """No marks of unfinished work, no names of a workplace."""
    for path in tree.paths:
        if not tree.is_text(path):
            continue
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            if m := UNFINISHED.search(line):
                yield Finding(path, number, "unfinished", f"'{m.group(0)}': do it or say so in an issue")
            if m := WORKPLACE.search(line):
                yield Finding(path, number, "workplace", f"'{m.group(0)}' names somebody's workplace")
            if path.endswith(CPP) and (m := SHORTHAND.search(line)):
                yield Finding(path, number, "names", f"'{m.group(0)}': say docs/protocol.md, section N")


def check_length(tree):
    """A file of more than 700 lines is several files."""
    for path in tree.paths:
        if path.endswith(CPP + (".py",)) or (tree.is_text(path) and path.startswith("tools/")):
            lines = tree.text(path).count("\n")
            if lines > FILE_LINES_MAX:
                yield Finding(path, 1, "length", f"{lines} lines; {FILE_LINES_MAX} are the most")


# ---- C++ --------------------------------------------------------------------------------------


def block_end(code, opening):
    """The position behind the brace that closes the one at `opening`."""
    depth = 0
    for m in re.compile(r"[{}]").finditer(code, opening):
        depth += 1 if m.group(0) == "{" else -1
        if depth == 0:
            return m.end()
    return len(code)


def check_catch(tree):
    """No co_await inside a catch: errors are values."""
    for path in tree.paths:
        if not path.endswith(CPP):
            continue
        code = tree.code(path)
        for m in re.finditer(r"\bcatch\s*\([^)]*\)\s*(\{)", code):
            inside = code[m.start(1):block_end(code, m.start(1))]
            if at := re.search(r"\bco_await\b", inside):
                yield Finding(path, line_of(code, m.start(1) + at.start()), "catch",
                              "co_await inside a catch")


FUNCTION = re.compile(
    r"\)\s*(?:const|noexcept|override|final|mutable|&&?|->\s*[\w:<>,&*\s]+|\s)*$")


def functions(code):
    """(first line, number of lines, name) of the functions, as far as a simple scan can see."""
    start, position = 0, 0
    while m := re.compile(r"[{};]").search(code, position):
        head = code[start:m.start()]
        position = start = m.end()
        if m.group(0) != "{" or not FUNCTION.search(head):
            continue
        name = re.search(r"([\w:~]+)\s*\(", head)
        if not name or name.group(1) in ("if", "for", "while", "switch", "catch"):
            continue
        end = block_end(code, m.start())
        first = line_of(code, m.start())
        yield first, line_of(code, end) - first + 1, name.group(1)
        position = start = end


# ---- tests ------------------------------------------------------------------------------------

TEST_CASE = re.compile(
    r'\b(?:TEST_CASE|SCENARIO|TEMPLATE_TEST_CASE)\s*\(\s*"((?:[^"\\]|\\.)*)"|'
    r'\b(?:TEST_CASE_METHOD|TEMPLATE_TEST_CASE_METHOD)\s*\(\s*[\w:<>]+\s*,\s*"((?:[^"\\]|\\.)*)"')


def check_test_names(tree):
    """A test's name is a sentence."""
    for path in tree.select("tests/", (".cpp",)):
        text = tree.text(path)
        for m in TEST_CASE.finditer(text):
            name = m.group(1) if m.group(1) is not None else m.group(2)
            if " " not in name.strip():
                yield Finding(path, line_of(text, m.start()), "test name",
                              f'"{name}" is no sentence')


def check_golden(tree):
    """Every golden file is read by a test, by its name or by the beginning of a name that ends in _."""
    quoted = set()
    for path in tree.select("tests/", CPP + (".py",)):
        quoted.update(re.findall(r'"(?:[^"\n]*/)?([\w.-]+)"', tree.text(path)))
    begun = tuple(q for q in quoted if q.endswith("_") and len(q) > 3)
    for path in tree.select("tests/golden/", ("",)):
        name = os.path.basename(path)
        if not {name, os.path.splitext(name)[0]} & quoted and not (begun and name.startswith(begun)):
            yield Finding(path, 1, "golden", "no test names this file")


def check_corpus(tree):
    """Every fuzz target has a corpus."""
    for path in tree.select("tests/fuzz/", ("_fuzz.cpp",)):
        corpus = "tests/fuzz/corpus/" + os.path.basename(path)[:-len("_fuzz.cpp")] + "/"
        if not tree.select(corpus, ("",)):
            yield Finding(path, 1, "corpus", f"{corpus} is missing or empty")


# ---- documents --------------------------------------------------------------------------------


def without_fences(text):
    """The text of a Markdown file with fenced code blanked, lines kept."""
    out, fenced = [], False
    for line in text.split("\n"):
        fence = line.lstrip().startswith(("```", "~~~"))
        out.append("" if fenced or fence else line)
        fenced ^= fence
    return "\n".join(out)


def slug(heading):
    heading = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading))


def check_titles(tree):
    """A document has exactly one title, on its first line."""
    for path in tree.paths:
        if not path.endswith(".md"):
            continue
        lines = without_fences(tree.text(path)).split("\n")
        titles = [i for i, line in enumerate(lines, 1) if line.startswith("# ")]
        if len(titles) != 1 or titles[0] != 1:
            yield Finding(path, titles[1] if len(titles) > 1 else 1, "title",
                          f"{len(titles)} titles ('# ...'); one is needed, on the first line")


LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)|!\[[^\]\n]*\]\(([^)\s]+)\)")


def check_links(tree):
    """Relative links lead to a file, and to a heading in it."""
    for path in tree.paths:
        if not path.endswith(".md"):
            continue
        text = without_fences(tree.text(path))
        for m in LINK.finditer(text):
            target = m.group(1) or m.group(2)
            if re.match(r"[a-z]+:", target):
                continue
            file, _, fragment = target.partition("#")
            full = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            full = full.replace("\\", "/")
            line = line_of(text, m.start())
            if not tree.exists(full):
                yield Finding(path, line, "link", f"{target}: there is no {full}")
            elif fragment and full.endswith(".md"):
                heads = re.findall(r"^#+ +(.*)$", without_fences(tree.text(full)), re.M)
                if fragment not in map(slug, heads):
                    yield Finding(path, line, "link", f"{target}: no such heading in {full}")


NAMED = re.compile(r"(?<![\w/.${}<-])((?:docs|lib|tools|tests|daemon|client|proto|\.ci)/[\w./-]*\w\."
                   r"(?:md|hpp|cpp|py|proto|toml))\b(?![\w*{<])")


def check_named_files(tree):
    """A file that a comment or a document names is there."""
    for path in tree.paths:
        if not path.endswith(CPP + (".md",)) or path.startswith("tests/lint/"):
            continue
        text = tree.text(path)
        if path.endswith(".md"):  # the targets of links have a rule of their own
            text = LINK.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)
        missing = {(line_of(text, m.start()), m.group(1)) for m in NAMED.finditer(text)
                   if not tree.exists(m.group(1))}
        for line, name in sorted(missing):
            yield Finding(path, line, "names", f"there is no {name}")


def check_map(tree):
    """Each test and planted bug that the protocol map relies on is there."""
    path = "docs/protocol_map.md"
    if path not in tree.known:
        return
    tests = {m.group(1) or m.group(2) for p in tree.select("tests/", (".cpp",))
             for m in TEST_CASE.finditer(tree.text(p))}
    planted = {m.group(1) for p in tree.select("lib/", CPP)
               for m in re.finditer(r'(?m)^[^/\n]*SQ_PLANTED\("([^"]+)"\)', tree.text(p))}
    for number, line in enumerate(tree.text(path).splitlines(), 1):
        noticed = line.rstrip(" |").split(" | ")[-1] if line.startswith("| ") else ""
        for m in re.finditer(r'(planted bug |probe )?"([^"]+)"', noticed):
            if not m.group(1) and m.group(2) not in tests:
                yield Finding(path, number, "map", f'there is no test "{m.group(2)}"')
        for name in re.findall(r"`([a-z_0-9]+)`", noticed):
            if name not in planted:
                yield Finding(path, number, "map", f"no SQ_PLANTED is called {name}")


def check_health(tree):
    """Each health code that a program can say has a page."""
    for path in tree.select(("lib/", "daemon/", "client/"), CPP):
        text = tree.text(path)
        for m in re.finditer(r'"(SQ-[A-Z][A-Z-]*[A-Z])"', text):
            if not tree.exists(f"docs/health/{m.group(1)}.md"):
                yield Finding(path, line_of(text, m.start()), "health",
                              f"there is no docs/health/{m.group(1)}.md")


CHECKS = [check_order, check_doors, check_outside, check_simulation, check_dead_headers,
          check_dead_sources, check_words, check_length, check_catch, check_test_names, check_golden,
          check_corpus, check_titles, check_links, check_named_files, check_map,
          check_health]


def lint(root):
    tree = Tree(root)
    return [finding for check in CHECKS for finding in check(tree)]


def longest(root, count=10):
    """Two lists of (lines, where), longest first: files and functions."""
    tree = Tree(root)
    files, parts = [], []
    for path in tree.select(("lib/", "daemon/", "client/", "tools/", "tests/"), CPP + (".py",)):
        files.append((tree.text(path).count("\n"), path))
        if path.endswith(CPP) and not path.startswith("tests/"):
            parts += [(n, f"{path}:{line} {name}") for line, n, name in functions(tree.code(path))]
    return sorted(files, reverse=True)[:count], sorted(parts, reverse=True)[:count]


def main(arguments):
    show_longest = "--longest" in arguments
    rest = [a for a in arguments if a != "--longest"]
    root = rest[0] if rest else os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if show_longest:
        for title, rows in zip(("longest files", "longest functions"), longest(root)):
            print(title)
            for lines, where in rows:
                print(f"  {lines:5}  {where}")
        return 0
    findings = lint(root)
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
