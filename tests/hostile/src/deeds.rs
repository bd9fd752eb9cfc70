//! What a guest may try. Those of [`common`] do not need to know the stage; the others spoil a good answer.

use aurora_guest::{Decisions, Normalized, Routes, Severity, Verdicts, log};

/// Does `deed`, unless it is none of these.
pub fn common(deed: &str) {
    match deed {
        "spin" => loop {
            std::hint::black_box(0);
        },
        // Far too long, and within its deadline.
        "slow" => (0..200_000).for_each(|turn| {
            std::hint::black_box(turn);
        }),
        "trap" => trap(),
        "panic" => panic!("told to"),
        "hoard" => hoard(),
        "recurse" => {
            std::hint::black_box(recurse(1));
        }
        "flood" => {
            for line in 0..10_000 {
                log::write(log::Level::Warn, &format!("line {line} of a flood"));
            }
        }
        "flood-forever" => loop {
            log::write(log::Level::Warn, "a flood without end");
        },
        "long-line" => log::write(log::Level::Warn, &"long ".repeat(1 << 20)),
        "control" => log::write(log::Level::Warn, "first\nsecond\x1b[31m red \u{0} nul"),
        _ => {}
    }
}

fn trap() {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
}

/// Takes memory until there is none, and touches each page.
fn hoard() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

#[allow(unconditional_recursion)] // It is the point: the guest's stack runs out.
fn recurse(depth: u64) -> u64 {
    let page = std::hint::black_box([depth; 32]);
    recurse(depth + 1) + page[0]
}

/// Spoils a normalizer's answer.
pub fn spoil_events(deed: &str) -> Option<fn(&mut Normalized)> {
    Some(match deed {
        "short-column" => |done| {
            done.events.severity.pop();
        },
        "long-column" => |done| done.events.timestamp_ms.push(0),
        "no-verdict" => |done| {
            done.disposition.pop();
        },
        "miscount" => |done| done.count.iter_mut().for_each(|count| *count += 1),
        "none-accepted" => |done| done.count.iter_mut().for_each(|count| *count = 0),
        "counts-overflow" => |done| done.events.fields.iter_mut().for_each(|count| *count = u32::MAX),
        "ends-back" => |done| done.events.ends.reverse(),
        "ends-beyond" => |done| done.events.ends.iter_mut().for_each(|end| *end += 1),
        "not-utf8" => |done| done.events.text.iter_mut().for_each(|byte| *byte |= 0x80),
        // Cuts a character in two: the run as a whole is UTF-8 and the pieces are not.
        "cut-utf8" => |done| {
            if let [first, second, ..] = done.events.text.as_mut_slice() {
                (*first, *second) = (0xc3, 0xa9);
                if let Some(end) = done.events.ends.first_mut() {
                    *end = 1;
                }
            }
        },
        "lost-observables" => |done| done.events.observable_type.clear(),
        _ => return None,
    })
}

/// Spoils a router's answer.
pub fn spoil_routes(deed: &str) -> Option<fn(&mut Routes)> {
    Some(match deed {
        "short-column" => |done| {
            done.count.pop();
        },
        "out-of-range" => |done| done.stream.iter_mut().for_each(|index| *index = 99),
        "reason-out-of-range" => |done| done.reason.iter_mut().for_each(|index| *index = u32::MAX),
        "miscount" => |done| done.count.iter_mut().for_each(|count| *count = u32::MAX),
        _ => return None,
    })
}

/// Spoils a federation policy's answer.
pub fn spoil_decisions(deed: &str) -> Option<fn(&mut Decisions)> {
    Some(match deed {
        "short-column" => |done| {
            done.share.pop();
        },
        "out-of-range" => |done| done.subject.iter_mut().for_each(|index| *index = 99),
        "observable-out-of-range" => |done| done.observable.iter_mut().for_each(|index| *index = 99),
        "key-out-of-range" => |done| {
            done.removed.iter_mut().for_each(|count| *count = 1);
            done.remove = vec![7; done.removed.len()];
        },
        _ => return None,
    })
}

/// Spoils an answer about messages of other sites.
pub fn spoil_verdicts(deed: &str) -> Option<fn(&mut Verdicts)> {
    Some(match deed {
        "short-column" => |done| {
            done.disposition.pop();
        },
        "out-of-range" => |done| done.reason.fill(u32::MAX),
        "severity-too-many" => |done| done.severity.push(Severity::Critical),
        "severity-too-few" => |done| {
            done.severity.pop();
        },
        _ => return None,
    })
}
