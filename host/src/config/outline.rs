//! Where each key of the file stands, so that a problem that is found later still has a line.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Every key of a file with its place.
#[derive(Debug, Default)]
pub(super) struct Outline {
    nodes: Vec<Node>,
}

/// One key, or one element of a list.
#[derive(Debug)]
pub(super) struct Node {
    /// As in `mqtt.subscriptions[1].qos`.
    pub key: String,
    /// The same, step by step.
    pub steps: Vec<Step>,
    /// Line and column of the key, from 1.
    pub position: (usize, usize),
    pub is_list: bool,
    key_span: Range<usize>,
    value_span: Range<usize>,
}

/// One step down the tree.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Key(String),
    Element(usize),
}

impl Outline {
    pub(super) fn of(text: &str, root: &DeTable<'_>) -> Self {
        let mut outline = Self::default();
        outline.table(text, root, "", &[]);
        outline
    }

    fn table(&mut self, text: &str, table: &DeTable<'_>, above: &str, steps: &[Step]) {
        for (key, value) in table {
            let name = quoted(key.get_ref());
            let path = if above.is_empty() { name } else { format!("{above}.{name}") };
            let mut steps = steps.to_vec();
            steps.push(Step::Key(key.get_ref().to_string()));
            self.node(text, path, steps, key.span(), value);
        }
    }

    fn node(
        &mut self,
        text: &str,
        key: String,
        steps: Vec<Step>,
        key_span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(text, table, &key, &steps),
            DeValue::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    let mut steps = steps.clone();
                    steps.push(Step::Element(index));
                    self.node(text, format!("{key}[{index}]"), steps, element.span(), element);
                }
            }
            _ => {}
        }
        let position = position(text, key_span.start);
        let is_list = value.get_ref().is_array();
        self.nodes.push(Node { key, steps, position, is_list, key_span, value_span: value.span() });
    }

    /// The node that an error of the deserializer points at.
    pub(super) fn at(&self, span: &Range<usize>) -> Option<&Node> {
        // Children come before their parents, so the deepest match wins.
        let exact = self.nodes.iter().find(|node| node.key_span == *span || node.value_span == *span);
        let holds = |node: &&Node| node.value_span.start <= span.start && span.end <= node.value_span.end;
        exact.or_else(|| self.nodes.iter().find(holds))
    }

    /// Every key.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Whether the file sets `key`.
    pub(super) fn sets(&self, key: &str) -> bool {
        self.nodes.iter().any(|node| node.key == key)
    }

    /// The place of `key`, or of the section or list that it belongs to.
    pub(super) fn nearest(&self, key: &str) -> Option<(usize, usize)> {
        std::iter::successors(Some(key), |key| parent(key))
            .find_map(|key| self.nodes.iter().find(|node| node.key == key))
            .map(|node| node.position)
    }
}

/// A name as it stands in a dotted key.
pub(crate) fn quoted(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { format!("{name:?}") }
}

/// `mqtt.subscriptions` of `mqtt.subscriptions[1]`, `mqtt` of `mqtt.subscriptions`.
pub(super) fn parent(key: &str) -> Option<&str> {
    let cut = match key.as_bytes().last()? {
        b']' => key.rfind('['),
        b'"' => key.rfind(".\""),
        _ => key.rfind('.'),
    };
    cut.map(|cut| &key[..cut])
}

/// Line and column of a byte offset, from 1; the column counts characters.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_has_the_line_of_its_section() {
        let text = "[site]\nid = 'a'\n\n[redis]\npool = 1\n[redis.streams]\n'a.b' = 1\n";
        let root = DeTable::parse(text).unwrap();
        let outline = Outline::of(text, root.get_ref());
        assert_eq!(outline.nearest("site.id"), Some((2, 1)));
        assert_eq!(outline.nearest("redis.url"), Some((4, 2)));
        assert_eq!(outline.nearest("redis.streams.\"a.b\""), Some((7, 1)));
        assert_eq!(outline.nearest("redis.streams.\"c.d\""), Some((6, 8)));
        assert_eq!(outline.nearest("nats.url"), None);
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        assert_eq!(position("# Ä\n'ä' = 1", 9), (2, 4));
        assert_eq!(position("", 9), (1, 1));
    }
}
