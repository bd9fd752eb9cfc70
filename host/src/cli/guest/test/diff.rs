use similar::{ChangeTag, TextDiff};

/// Lines around a difference that are shown.
const AROUND: usize = 3;

/// Longest line that is shown whole.
const WIDE: usize = 400;

/// What is different between `old` and `new`, by lines.
pub(super) fn diff(old_name: &str, old: &str, new_name: &str, new: &str) -> String {
    let mut text = format!("  - {old_name}\n  + {new_name}\n");
    let changes = TextDiff::from_lines(old, new);
    for (index, group) in changes.grouped_ops(AROUND).iter().enumerate() {
        if index > 0 {
            text += "    …\n";
        }
        for change in group.iter().flat_map(|op| changes.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            let line = change.value().trim_end_matches('\n');
            let shown: String = line.chars().take(WIDE).collect();
            let cut = if shown.len() < line.len() { "…" } else { "" };
            text += &format!("  {sign} {shown}{cut}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_line_that_differs_with_its_neighbours() {
        let text = diff("old", "a\nb\nc\n", "new", "a\nx\nc\n");
        assert_eq!(text, "  - old\n  + new\n    a\n  - b\n  + x\n    c\n");
    }
}
