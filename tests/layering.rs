//! Which layer may know which: the table of ARCHITECTURE.md, held against the `crate::` paths in `src`.
#![allow(clippy::unwrap_used, clippy::string_slice, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test reads the sources")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A layer and the layers that it may name. `error` may be named by all.
const LAYERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("diagnostics", &[]),
    ("model", &[]),
    ("codec", &["model"]),
    ("chunk", &["codec", "model"]),
    ("source", &["chunk", "model"]),
    ("store", &["source", "chunk", "codec", "model"]),
    ("promql", &["source", "model"]),
    ("gate", &["promql", "source", "codec", "model"]),
    ("ingest", &["store", "model"]),
    ("rules", &["promql", "store", "source", "model"]),
    // The doors for fuzz targets, which reach into every layer.
    ("fuzzing", &["codec", "chunk", "source", "store", "promql", "gate", "ingest", "rules", "model"]),
];

/// Folder and file names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "misc", "helpers", "core_impl"];

fn source_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The part of a file that ships: unit tests stand at its end, or in a file of their own, and may use any layer.
fn shipped_part(path: &Path) -> String {
    if path.file_stem().is_some_and(|stem| stem == "tests") {
        return String::new();
    }
    let text = fs::read_to_string(path).unwrap();
    let is_module = |rest: &str| {
        let code = rest.lines().skip(1).find(|line| !line.starts_with("#["));
        code.is_some_and(|line| line.starts_with("mod "))
    };
    match text.match_indices("#[cfg(test)]\n").find(|(at, _)| is_module(&text[*at..])) {
        Some((tests, _)) => text[..tests].to_owned(),
        None => text,
    }
}

/// Every layer named by a `crate::` path, in `use` lists as well, comments left out.
fn named_layers(text: &str) -> Vec<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let mut layers = Vec::new();
    for (position, _) in code.match_indices("crate::") {
        if code[..position].ends_with('$') {
            continue;
        }
        let rest = &code[position + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let end = list.find("};").unwrap_or(list.len());
            let mut depth = 0;
            let mut item = String::new();
            for c in list[..end].chars().chain([',']) {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        layers.push(item.split("::").next().unwrap().trim().to_owned());
                        item.clear();
                        continue;
                    }
                    _ => {}
                }
                if depth == 0 || !item.contains("::") {
                    item.push(c);
                }
            }
        } else {
            layers.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    layers.retain(|layer| !layer.is_empty());
    layers
}

#[test]
fn no_layer_names_a_layer_above_it() {
    let allowed: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut files = Vec::new();
    source_files(&src(), &mut files);
    let mut wrong = Vec::new();
    for path in files {
        let relative = path.strip_prefix(src()).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let layer = first.trim_end_matches(".rs");
        if layer == "lib" {
            continue;
        }
        let Some(below) = allowed.get(layer) else {
            wrong.push(format!("{} belongs to no layer of the table", relative.display()));
            continue;
        };
        for named in named_layers(&shipped_part(&path)) {
            let is_layer = allowed.contains_key(named.as_str());
            if is_layer && named != "error" && named != layer && !below.contains(&named.as_str()) {
                wrong.push(format!("{} names {named}", relative.display()));
            }
            // What lib.rs re-exports hides which layer it comes from.
            if !is_layer {
                wrong.push(format!("{} reaches crate::{named}, which is no layer", relative.display()));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "imports against the table:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_cycle() {
    // Each layer names only layers that stand before it.
    for (index, (layer, below)) in LAYERS.iter().enumerate() {
        for name in *below {
            let position = LAYERS.iter().position(|(other, _)| other == name);
            assert!(position.is_some_and(|position| position < index), "{layer} names {name}");
        }
    }
}

#[test]
fn no_file_hides_behind_an_empty_name() {
    let mut files = Vec::new();
    source_files(&src(), &mut files);
    for path in files {
        for part in path.strip_prefix(src()).unwrap().iter() {
            let name = part.to_str().unwrap().trim_end_matches(".rs");
            assert!(!EMPTY_NAMES.contains(&name), "{}", path.display());
        }
    }
}

#[test]
fn the_reader_of_this_test_sees_lists_and_paths() {
    let text = "use crate::model::{A, B};\nuse crate::{source::Source, error::{Error, Result}};\n\
                // crate::store\nlet x = crate::codec::y();";
    assert_eq!(named_layers(text), ["model", "source", "error", "codec"]);
}
