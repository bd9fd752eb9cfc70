//! Which grant an import needs, and what is said to a guest that lacks it.

use std::fmt;

use wasmparser::{Parser, Payload};

use crate::{
    config::{Grant, Grants},
    telemetry::{SlotName, Stage},
};

/// What an import takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: every guest has it.
    Nothing,
    /// This grant of its site.
    Grant(Grant),
    /// More than any grant gives.
    Refused,
}

impl Need {
    /// Of the interface `import`, as in `aurora:event/log@0.1.0`.
    #[must_use]
    pub fn of(import: &str) -> Self {
        match interface(import) {
            // Its own settings say nothing that its site did not mean it to have.
            "aurora:event/types" | "aurora:event/settings" => Self::Nothing,
            "aurora:event/log" => Self::Grant(Grant::Log),
            "aurora:event/lookup" => Self::Grant(Grant::Lookup),
            "aurora:state/state" => Self::Grant(Grant::State),
            name => match name.strip_prefix("wasi:").and_then(|name| name.split('/').next()) {
                Some("io" | "clocks" | "random" | "cli" | "filesystem" | "sockets") if is_wasi_0_2(import) => {
                    Self::Grant(Grant::Wasi)
                }
                _ => Self::Refused,
            },
        }
    }
}

/// Which versions of WASI are there; a component imports only those of one.
fn is_wasi_0_2(import: &str) -> bool {
    import.rsplit('@').next().is_some_and(|version| version.starts_with("0.2."))
}

/// A name without its version.
pub(super) fn interface(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// The grants that a guest with these `imports` needs.
pub(super) fn needed<'a>(imports: impl IntoIterator<Item = &'a String>) -> Grants {
    let grant = |import: &String| match Need::of(import) {
        Need::Grant(grant) => Some(grant),
        _ => None,
    };
    imports.into_iter().filter_map(grant).collect()
}

/// The grants that the component in `wasm` needs, read without compiling it; none if it is no component, which its loader
/// tells better.
#[must_use]
pub fn needs(wasm: &[u8]) -> Grants {
    needed(&imports(wasm).unwrap_or_default())
}

/// What a component imports. Those inside it import from each other.
fn imports(wasm: &[u8]) -> wasmparser::Result<Vec<String>> {
    let (mut imports, mut depth) = (Vec::new(), 0);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(imports)
}

/// A guest imports what its site does not grant it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Imports that no grant gives.
    pub refused: Vec<String>,
    /// Imports that a grant would give.
    pub lacking: Vec<String>,
    /// All the grants that the guest needs.
    pub needed: Grants,
    /// Where it is configured.
    pub slot: SlotName,
}

impl Denied {
    /// What stands against `imports` of the guest of `slot`, which has `grants`.
    pub(super) fn check(imports: &[String], grants: &Grants, slot: &SlotName) -> Result<(), Self> {
        let those = |wanted: fn(Need, &Grants) -> bool| -> Vec<_> {
            imports.iter().filter(|import| wanted(Need::of(import), grants)).cloned().collect()
        };
        let refused = those(|need, _| need == Need::Refused);
        let lacking = those(|need, grants| matches!(need, Need::Grant(grant) if !grants.hold(grant)));
        if refused.is_empty() && lacking.is_empty() {
            return Ok(());
        }
        // What it has already stays in the line that its site is shown.
        let needed = grants.iter().chain(needed(imports).iter()).collect();
        Err(Self { refused, lacking, needed, slot: slot.clone() })
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.refused.is_empty() {
            write!(f, "{}, which no guest is granted", self.refused.join(", "))?;
        }
        if self.lacking.is_empty() {
            return Ok(());
        }
        if !self.refused.is_empty() {
            f.write_str("; and ")?;
        }
        write!(
            f,
            "{}, which its site does not grant it; to grant it, write {} ",
            self.lacking.join(", "),
            self.needed
        )?;
        match self.slot.rule() {
            Some(agent) if self.slot.stage() == Stage::Task => write!(f, "into [tasks.agents.{agent}]"),
            None => write!(f, "into [guests.{}]", self.slot.stage()),
            Some(rule) => write!(f, "beside name = {rule:?} in [[guests.{}.rule]]", self.slot.stage()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(imports: &[&str], grants: &[Grant], slot: &SlotName) -> Option<String> {
        let imports: Vec<_> = imports.iter().map(|&import| import.to_owned()).collect();
        let grants = grants.iter().copied().collect();
        Denied::check(&imports, &grants, slot).err().map(|denied| denied.to_string())
    }

    #[test]
    fn a_guest_without_grants_has_its_settings_and_nothing_else() {
        let slot = SlotName::from(Stage::Normalize);
        assert_eq!(denied(&["aurora:event/types@0.1.0", "aurora:event/settings@0.1.0"], &[], &slot), None);
        let text = denied(&["aurora:event/log@0.1.0"], &[], &slot).unwrap();
        let expected = "aurora:event/log@0.1.0, which its site does not grant it; \
                        to grant it, write grants = [\"log\"] into [guests.normalize]";
        assert_eq!(text, expected);
        assert_eq!(denied(&["aurora:event/log@0.1.0"], &[Grant::Log], &slot), None);
    }

    #[test]
    fn what_no_grant_gives_is_named_and_the_rule_that_would_need_the_line_too() {
        let slot = SlotName::of_rule(Stage::Route, "acme");
        let text = denied(&["wasi:sockets/tcp@0.3.0", "aurora:event/log@0.1.9"], &[], &slot).unwrap();
        assert!(text.starts_with("wasi:sockets/tcp@0.3.0, which no guest is granted; and aurora:event/log@0.1.9"));
        assert!(text.ends_with("beside name = \"acme\" in [[guests.route.rule]]"), "{text}");
        let agent = denied(&["aurora:event/log@0.1.0"], &[], &SlotName::of_rule(Stage::Task, "triage")).unwrap();
        assert!(agent.ends_with("into [tasks.agents.triage]"), "{agent}");
        // A name that only begins like one of ours.
        assert!(denied(&["aurora:event/log-all@0.1.0"], &[Grant::Log], &slot).is_some());
    }

    #[test]
    fn wasi_is_what_there_is_of_it_here() {
        for granted in ["wasi:cli/environment@0.2.6", "wasi:sockets/tcp@0.2.0"] {
            assert_eq!(Need::of(granted), Need::Grant(Grant::Wasi), "{granted}");
        }
        for refused in ["wasi:http/types@0.2.0", "wasi:clocks/monotonic-clock@0.3.0", "wasi:io/poll", "wasi:io"] {
            assert_eq!(Need::of(refused), Need::Refused, "{refused}");
        }
    }
}
