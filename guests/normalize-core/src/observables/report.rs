//! How what was found is reported: its scope, and where its value stands.

use std::net::{Ipv4Addr, Ipv6Addr};

use aurora_guest::{ObservableType, Scope};

use super::name::Name;
use super::scan::Scan;
use super::{Found, Value};

impl Scan<'_> {
    pub(super) fn v4_scope(&self, address: Ipv4Addr) -> Scope {
        if self.allow.has_v4(address) { Scope::AllowListed } else { Scope::of_address(address.into()) }
    }

    pub(super) fn v6_scope(&self, address: Ipv6Addr) -> Scope {
        if self.allow.has_v6(address) { Scope::AllowListed } else { Scope::of_address(address.into()) }
    }

    pub(super) fn name_scope(&self, name: &Name, text: &[u8]) -> Scope {
        if self.allow.has_domain(text) {
            Scope::AllowListed
        } else if name.is_reserved(text) {
            Scope::Reserved
        } else {
            Scope::Public
        }
    }

    /// Reports `start..end` as it stands.
    pub(super) fn push(&mut self, kind: ObservableType, scope: Scope, start: usize, end: usize) {
        self.found.push(Found { kind, scope, value: Value::span(start, end) });
    }

    /// Reports `start..end` in lower case: as it stands if it is so already, else by way of the scratch.
    pub(super) fn push_lower(&mut self, kind: ObservableType, scope: Scope, start: usize, end: usize) {
        let text = &self.text[start..end];
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            let from = self.scratch.len();
            self.scratch.push_str(text);
            self.scratch[from..].make_ascii_lowercase();
            self.push_scratch(kind, scope, from, self.scratch.len());
        } else {
            self.push(kind, scope, start, end);
        }
    }

    /// Reports `from..to` of the scratch.
    pub(super) fn push_scratch(&mut self, kind: ObservableType, scope: Scope, from: usize, to: usize) {
        self.found.push(Found { kind, scope, value: Value::refanged(from, to) });
    }

    /// Reports what was written to the scratch since `from`: as a span, if it is what stands at `start` anyway.
    pub(super) fn push_written(&mut self, kind: ObservableType, scope: Scope, from: usize, start: usize) {
        let written = &self.scratch.as_bytes()[from..];
        let end = start + written.len();
        if self.bytes.get(start..end) == Some(written) {
            self.push(kind, scope, start, end);
        } else {
            self.push_scratch(kind, scope, from, self.scratch.len());
        }
    }

    /// Scope of an exact value that says nothing of itself.
    pub(super) fn exact_scope(&self, value: &str) -> Scope {
        if self.allow.has_exact(value) { Scope::AllowListed } else { Scope::Public }
    }
}
