use std::fmt;

use bytesize::ByteSize;
use serde::Deserialize;

/// What a guest may cost on a batch. What is not set is not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Most fuel an event.
    pub max_fuel: Option<u64>,
    /// Most linear memory.
    pub max_memory: Option<ByteSize>,
    /// Most bytes of an answer.
    pub max_output: Option<ByteSize>,
}

/// What a guest did cost on a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Events that the fuel is for.
    pub events: usize,
    /// Fuel, that of the start of the instance included.
    pub fuel: u64,
    /// Most linear memory, bytes.
    pub memory: u64,
    /// Bytes of the answer.
    pub output: u64,
}

impl Cost {
    /// Fuel an event, rounded up.
    #[must_use]
    pub fn fuel_an_event(&self) -> u64 {
        self.fuel.div_ceil(self.events.max(1) as u64)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} event{}, {} fuel each, {} of memory, {} of answer",
            self.events,
            if self.events == 1 { "" } else { "s" },
            self.fuel_an_event(),
            ByteSize(self.memory),
            ByteSize(self.output)
        )
    }
}

impl Budget {
    /// This one where it says something, else `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            max_fuel: self.max_fuel.or(other.max_fuel),
            max_memory: self.max_memory.or(other.max_memory),
            max_output: self.max_output.or(other.max_output),
        }
    }

    /// What of it `cost` exceeds.
    #[must_use]
    pub fn exceeded(&self, cost: &Cost) -> Vec<String> {
        let mut over = Vec::new();
        if let Some(max) = self.max_fuel.filter(|&max| cost.fuel_an_event() > max) {
            over.push(format!("{} fuel an event, max_fuel is {max}", cost.fuel_an_event()));
        }
        if let Some(max) = self.max_memory.filter(|max| cost.memory > max.as_u64()) {
            over.push(format!("{} of memory, max_memory is {max}", ByteSize(cost.memory)));
        }
        if let Some(max) = self.max_output.filter(|max| cost.output > max.as_u64()) {
            over.push(format!("{} of answer, max_output is {max}", ByteSize(cost.output)));
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_part_that_is_exceeded_and_no_other() {
        let cost = Cost { events: 3, fuel: 301, memory: 1 << 20, output: 100 };
        let budget = Budget { max_fuel: Some(100), max_memory: Some(ByteSize::mib(1)), max_output: Some(ByteSize(99)) };
        let over = budget.exceeded(&cost);
        assert_eq!(over.len(), 2, "{over:?}");
        assert!(over[0].starts_with("101 fuel an event") && over[1].contains("max_output"), "{over:?}");
        assert!(Budget::default().exceeded(&cost).is_empty());
    }
}
