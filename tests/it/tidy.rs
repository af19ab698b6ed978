//! Holds the shape of the source tree: what may import what, and a few habits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The modules by rank. Imports point down; within a rank they form no circle; middlewares, which
/// are the last rank, never import each other.
const RANKS: [&[&str]; 4] = [
    &[
        "clock",
        "error",
        "lazy_box",
        "outcome",
        "padded",
        "panic_guard",
        "ratio",
        "reason",
        "rng",
        "sealed",
        "shortest",
        "snapshot_cell",
        "striped",
        "sync",
        "waiters",
    ],
    &["backoff", "budget", "circuit", "ewma", "hint", "histogram", "trip", "window"],
    &["attempt", "classify", "endpoints", "replay"],
    &["balance", "circuit_breaker", "fallback", "first_frame", "hedge", "retry", "stall", "track"],
];

/// Documentation only.
const GUIDE: &str = "guide";

/// The files of each middleware; a file imports only what stands left of it.
const ORDER: [(&str, &[&str]); 8] = [
    ("retry", &["handle", "policy", "state", "future", "service", "layer"]),
    (
        "circuit_breaker",
        &[
            "error", "policy", "state", "handle", "keyed", "scope", "gate", "future", "service",
            "layer",
        ],
    ),
    (
        "fallback",
        &["error", "handle", "policy", "body", "answer", "state", "future", "service", "layer"],
    ),
    ("balance", &["error", "policy", "pick", "state", "unready", "future", "service", "layer"]),
    ("track", &["state", "future", "service", "layer"]),
    ("hedge", &["delay", "handle", "policy", "state", "future", "service", "layer"]),
    (
        "first_frame",
        &[
            "error", "frames", "messages", "events", "judge", "policy", "body", "state", "future",
            "service", "layer",
        ],
    ),
    ("stall", &["error", "state", "body", "future", "service", "layer"]),
];

const CLOCK: [&str; 3] = ["Instant::now", "SystemTime::now", "time::sleep"];

/// Words that a standard term has replaced: a new reader would have to learn them for nothing.
const OLD_WORDS: [&str; 11] = [
    "Luggage",
    "Ledger",
    "Roster",
    "Apart",
    "Spread",
    "Terms",
    "Course",
    "Standing",
    "Seat",
    "LatencyOf",
    "next_probe",
];
const MOST_LINES: usize = 500;
const MOST_README_LINES: usize = 150;

struct Source {
    /// Below `src/`.
    path: String,
    text: String,
    /// Without comments and tests.
    code: String,
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
        let code = lines.map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>();
        Self { path, code: format!("\n{}", code.join("\n")), text }
    }

    /// The folders and the file, without its ending.
    fn names(&self) -> Vec<&str> {
        self.path.trim_end_matches(".rs").split('/').collect()
    }

    fn module(&self) -> &str {
        self.names()[0]
    }

    /// What follows each occurrence of this prefix: whole names only.
    fn named_after<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.code.split(prefix).skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            &rest[..end.unwrap_or(rest.len())]
        })
    }

    fn has_let_chain(&self) -> bool {
        let conditions = ["if let ", "while let "].into_iter().flat_map(|start| {
            self.code.split(start).skip(1).filter_map(|rest| rest.split_once(" = "))
        });
        self.code.contains("&& let ")
            || conditions.into_iter().any(|(_, value)| outside_of_parentheses(value).contains("&&"))
    }
}

/// What stands before the block that a condition opens, without what is in parentheses.
fn outside_of_parentheses(value: &str) -> String {
    let (mut outside, mut depth) = (String::new(), 0_u32);
    for c in value.chars() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '{' if depth == 0 => break,
            c if depth == 0 => outside.push(c),
            _ => {}
        }
    }
    outside
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below this folder of the repository: their paths from there, and their texts.
fn rust_files(folder: &str) -> Vec<(String, String)> {
    let top = root().join(folder);
    let (mut folders, mut files) = (vec![top.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(&top).unwrap().to_str().unwrap().replace('\\', "/");
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > 20, "the files of {folder} were not found");
    files
}

fn sources() -> Vec<Source> {
    rust_files("src").into_iter().map(|(path, text)| Source::new(path, text)).collect()
}

/// The sources that are not tests.
fn code() -> impl Iterator<Item = Source> {
    sources().into_iter().filter(|source| !source.names().contains(&"tests"))
}

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|modules| modules.contains(&module))
}

fn nothing_wrong(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_module_has_its_rank_and_imports_point_down() {
    nothing_wrong(code().filter(|source| source.path != "lib.rs").flat_map(|source| {
        let (path, from) = (&source.path, source.module());
        let own = rank(from);
        if own.is_none() && from != GUIDE {
            return vec![format!(
                "src/{path}: give the module `{from}` a rank in tests/it/tidy.rs"
            )];
        }
        let imports = source.named_after("crate::").filter(|to| *to != from);
        let wrong = imports.filter_map(|to| match (own, rank(to)) {
            (_, None) => Some(format!("src/{path}: import `{to}` from the module that defines it")),
            (None, _) => Some(format!("src/{path}: the guide imports nothing, and here `{to}`")),
            (Some(own), Some(other)) if other > own => {
                Some(format!("src/{path}: an import up the ranks, of `{to}`"))
            }
            (Some(own), Some(other)) if other == own && own + 1 == RANKS.len() => {
                Some(format!("src/{path}: a middleware imports another one, `{to}`"))
            }
            _ => None,
        });
        wrong.collect()
    }));
}

/// What is in a circle of imports, or imports from one: what is left when all that imports nothing that is
/// left has been taken away.
fn in_circles(mut imports: BTreeMap<String, Vec<String>>) -> Vec<String> {
    while let Some(free) = imports
        .iter()
        .find(|(_, others)| !others.iter().any(|other| imports.contains_key(other)))
        .map(|(module, _)| module.clone())
    {
        imports.remove(&free);
    }
    imports.into_keys().collect()
}

#[test]
fn modules_do_not_import_each_other_in_a_circle() {
    let mut imports: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in code().filter(|source| source.path != "lib.rs") {
        let others = source.named_after("crate::").filter(|to| *to != source.module());
        let others = others.map(str::to_owned).collect::<Vec<_>>();
        imports.entry(source.module().to_owned()).or_default().extend(others);
    }
    nothing_wrong(
        in_circles(imports)
            .into_iter()
            .map(|module| format!("`{module}` is in a circle of imports, or imports from one")),
    );
}

#[test]
fn the_files_of_a_folder_do_not_import_each_other_in_a_circle() {
    let mut folders: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for source in code() {
        // `mod.rs` names its files to re-export them
        let (folder, file) = match source.path.rsplit_once('/') {
            Some((folder, file)) if file != "mod.rs" => (folder, file.trim_end_matches(".rs")),
            _ => continue,
        };
        let by_path = format!("crate::{}::", folder.replace('/', "::"));
        let others = source.named_after("super::").chain(source.named_after(&by_path));
        let others = others.filter(|to| *to != file).map(str::to_owned).collect::<Vec<_>>();
        folders.entry(folder.to_owned()).or_default().insert(file.to_owned(), others);
    }
    assert!(folders.len() > 10, "the folders were not found");
    nothing_wrong(folders.into_iter().flat_map(|(folder, imports)| {
        let circles = in_circles(imports).into_iter();
        circles
            .map(move |file| format!("src/{folder}/{file}.rs is in a circle, or imports from one"))
    }));
}

#[test]
fn inside_a_middleware_imports_point_left() {
    let middlewares = RANKS[RANKS.len() - 1];
    assert!(middlewares.iter().all(|middleware| ORDER.iter().any(|(name, _)| name == middleware)));
    nothing_wrong(code().flat_map(|source| {
        let (middleware, file) = match source.names()[..] {
            [middleware, file] if file != "mod" => (middleware, file),
            _ => return Vec::new(),
        };
        let path = &source.path;
        let Some((_, order)) = ORDER.iter().find(|(name, _)| *name == middleware) else {
            return Vec::new();
        };
        let place = |name: &str| order.iter().position(|other| *other == name);
        let Some(own) = place(file) else {
            return vec![format!("src/{path}: give it its place in tests/it/tidy.rs")];
        };
        let right =
            source.named_after("super::").filter(|to| place(to).is_some_and(|to| to >= own));
        let right = right.map(|to| format!("src/{path}: an import to the right, of `{to}`"));
        let through = source.named_after("\nuse super::").filter(|to| place(to).is_none());
        let through = through.map(|to| format!("src/{path}: name the file that has `{to}`"));
        right.chain(through).collect()
    }));
}

#[test]
fn files_are_short() {
    let long = sources().into_iter().map(|source| (source.path, source.text.lines().count()));
    let readme = fs::read_to_string(root().join("README.md")).unwrap_or_default().lines().count();
    let long = long
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("src/{path}: {lines} lines, {MOST_LINES} are enough"));
    let readme = (readme > MOST_README_LINES)
        .then(|| format!("README.md: {readme} lines, {MOST_README_LINES} are enough"));
    nothing_wrong(long.chain(readme));
}

#[test]
fn a_word_that_was_replaced_does_not_come_back() {
    nothing_wrong(code().flat_map(|source| {
        let words: BTreeSet<_> =
            source.code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
        let found = OLD_WORDS.iter().filter(|word| words.contains(**word));
        found
            .map(|word| format!("src/{}: `{word}` has a standard term", source.path))
            .collect::<Vec<_>>()
    }));
}

/// D10
#[test]
fn the_clock_is_read_in_one_place() {
    nothing_wrong(code().filter(|source| source.path != "clock.rs").flat_map(|source| {
        let found = CLOCK.iter().filter(|call| source.code.contains(**call));
        found
            .map(|call| format!("src/{}: `{call}` belongs to clock.rs", source.path))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn the_oldest_compiler_knows_no_let_chains() {
    let chains = code().filter(Source::has_let_chain);
    nothing_wrong(chains.map(|source| format!("src/{}: a let chain", source.path)));
}

/// The codes in the first column of the guide's table of failure modes: `K1 to K6, K11` is seven.
fn defined_codes(guide: &str) -> BTreeSet<String> {
    let table = guide.split("\n# ").find(|part| part.starts_with("Every way")).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let mut codes = BTreeSet::new();
    for row in rows {
        for part in row.split(", ") {
            match part.split_once(" to ") {
                Some((first, last)) if is_code(first) && is_code(last) => {
                    let (group, number) = (&first[..1], |code: &str| code[1..].parse::<u8>());
                    let numbers = number(first).unwrap()..=number(last).unwrap();
                    codes.extend(numbers.map(|at| format!("{group}{at}")));
                }
                _ if is_code(part) => drop(codes.insert(part.to_owned())),
                _ => {}
            }
        }
    }
    codes
}

/// The letter of a group, and one or two digits.
fn is_code(word: &str) -> bool {
    let digits = word.strip_prefix(|c: char| ('A'..='N').contains(&c));
    digits.is_some_and(|rest| {
        (1..=2).contains(&rest.len()) && rest.bytes().all(|c| c.is_ascii_digit())
    })
}

/// The codes in the comments of a source; what stands in backticks is code.
fn codes_in_comments<'a>(text: &'a str) -> BTreeSet<String> {
    let comment = |line: &'a str| match line.trim_start().strip_prefix("//") {
        None => line.split_once(" // ").map(|(_, comment)| comment),
        whole => whole,
    };
    let prose = text.lines().filter_map(comment).flat_map(|text| text.split('`').step_by(2));
    let words = prose.flat_map(|prose| prose.split(|c: char| !c.is_alphanumeric()));
    words.filter(|word| is_code(word)).map(str::to_owned).collect()
}

#[test]
fn a_failure_mode_that_a_comment_names_is_in_the_guide() {
    let guide = fs::read_to_string(root().join("src/guide/failure_model.md")).unwrap();
    let defined = defined_codes(&guide);
    assert!(["A1", "K3", "K11", "N10"].iter().all(|code| defined.contains(*code)), "{defined:?}");
    let files = ["src", "tests"].into_iter().flat_map(rust_files);
    nothing_wrong(files.flat_map(|(path, text)| {
        let unknown = codes_in_comments(&text).into_iter().filter(|code| !defined.contains(code));
        let say = "say in src/guide/failure_model.md what it is, or leave it out";
        unknown.map(|code| format!("{path}: {code}: {say}")).collect::<Vec<_>>()
    }));
}

#[test]
fn the_checks_find_what_they_look_for() {
    let source = |code: &str| Source::new("retry/future.rs".into(), code.into());
    let chains = [
        "if let Some(a) = b && c {",
        "if c && let Some(a) = b {",
        "while let Place::At { next, .. } = f(|x| x, [1])\n    && next > 0 {",
    ];
    assert!(chains.iter().all(|chain| source(chain).has_let_chain()));
    let none = ["if let Some(a) = b.filter(|x| x > 1 && x < 9) {", "// if a && let b"];
    assert!(!none.iter().any(|chain| source(chain).has_let_chain()));
    let names = source("use crate::clock::{self};\n// crate::no\ncrate::retry");
    assert_eq!(names.named_after("crate::").collect::<Vec<_>>(), ["clock", "retry"]);
    let text = "/// Z9, A1: `B2` of C33\nlet d4 = D4; // E5\n\"http://F6\"";
    assert_eq!(codes_in_comments(text).into_iter().collect::<Vec<_>>(), ["A1", "C33", "E5"]);
}
