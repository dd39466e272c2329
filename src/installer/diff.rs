//! A change as people read it: a unified diff.

/// Lines around a change.
const CONTEXT: usize = 3;

/// How `before` becomes `after`, without the two headings; empty where they are the same.
#[must_use]
pub fn unified(before: &str, after: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    let edits = edits(&old, &new);
    let mut text = String::new();
    let mut at = 0;
    while let Some(first) = edits.iter().skip(at).position(|edit| edit.sign != ' ').map(|ahead| at + ahead) {
        let from = first.saturating_sub(CONTEXT).max(at);
        // A hunk continues as long as the next change is not further away than the context of both.
        let mut last = first;
        while let Some(next) = edits.iter().skip(last + 1).take(2 * CONTEXT + 1).position(|edit| edit.sign != ' ') {
            last += 1 + next;
        }
        let to = (last + 1 + CONTEXT).min(edits.len());
        let hunk = edits.get(from..to).unwrap_or_default();
        text.push_str(&heading(hunk));
        for Edit { sign, line, .. } in hunk {
            let missing = if line.ends_with('\n') { "" } else { "\n\\ No newline at end of file\n" };
            text.push_str(&format!("{sign}{line}{missing}"));
        }
        at = to;
    }
    text
}

struct Edit<'a> {
    sign: char,
    line: &'a str,
    /// How many lines of either text stand before it.
    before: (usize, usize),
}

fn heading(hunk: &[Edit]) -> String {
    let (old, new) = hunk.first().map_or((0, 0), |edit| edit.before);
    let count = |other: char| hunk.iter().filter(|edit| edit.sign != other).count();
    let (old_lines, new_lines) = (count('+'), count('-'));
    // Of nothing, the line before it is named.
    let first = |before: usize, lines: usize| if lines == 0 { before } else { before + 1 };
    format!("@@ -{},{old_lines} +{},{new_lines} @@\n", first(old, old_lines), first(new, new_lines))
}

/// The shortest way, by the longest common subsequence of what is neither at the beginning nor at the end in common.
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Edit<'a>> {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (old.get(start..).unwrap_or_default(), new.get(start..).unwrap_or_default());
    let end = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let a = old_rest.get(..old_rest.len() - end).unwrap_or_default();
    let b = new_rest.get(..new_rest.len() - end).unwrap_or_default();
    let mut longest = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] =
                if a[i] == b[j] { longest[i + 1][j + 1] + 1 } else { longest[i + 1][j].max(longest[i][j + 1]) };
        }
    }
    let mut edits: Vec<Edit> = (0..start).map(|i| Edit { sign: ' ', line: old[i], before: (i, i) }).collect();
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let before = (start + i, start + j);
        if i < a.len() && j < b.len() && a[i] == b[j] {
            edits.push(Edit { sign: ' ', line: a[i], before });
            (i, j) = (i + 1, j + 1);
        } else if i < a.len() && (j == b.len() || longest[i + 1][j] >= longest[i][j + 1]) {
            edits.push(Edit { sign: '-', line: a[i], before });
            i += 1;
        } else {
            edits.push(Edit { sign: '+', line: b[j], before });
            j += 1;
        }
    }
    let tail = old.iter().skip(start + a.len()).enumerate();
    edits.extend(tail.map(|(k, line)| Edit { sign: ' ', line, before: (start + i + k, start + j + k) }));
    edits
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn a_change_is_shown_with_its_surroundings() {
        let before: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let after = before.replace("10\n", "ten\n").replace("20\n", "20");
        assert_eq!(
            unified(&before, &after),
            "@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n@@ -17,4 +17,4 @@\n 17\n 18\n 19\n-20\n+20\n\\ No newline at end of file\n"
        );
        assert_eq!(unified("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(unified("a\n", ""), "@@ -1,1 +0,0 @@\n-a\n");
        assert_eq!(unified("a\n", "a\n"), "");
    }

    /// patch(1) makes the one out of the other, where it is installed.
    #[test]
    fn patch_understands_it() {
        let texts =
            ["", "a\nb\nc\n", "a\nc\n", "x\na\nb\nb\nc\nd", "1\n2\n3\n4\n5\n6\n7\n8\n9\na\nb\nc\nx\n", "c\nb\na\n"];
        for (before, after) in texts.iter().flat_map(|a| texts.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b) {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("file");
            std::fs::write(&file, before).unwrap();
            let patch = Command::new("patch").arg(&file).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
            let Ok(mut patch) = patch else { return };
            let diff = format!("--- file\n+++ file\n{}", unified(before, after));
            patch.stdin.take().unwrap().write_all(diff.as_bytes()).unwrap();
            assert!(patch.wait().unwrap().success(), "{diff}");
            assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), after, "{diff}");
        }
    }
}
