//! Whatever comes in, the stock guests answer: they never trap, never run out of time, and skip no line.

use anyhow::Result;
use harness::pipe;

const SEEDS: [&str; 8] = [
    include_str!("../../host/src/cli/demo/samples/device-alert.json"),
    include_str!("../../host/src/cli/demo/samples/attestation-response.json"),
    include_str!("../../host/src/cli/demo/samples/suricata-alert.json"),
    include_str!("../../host/src/cli/demo/samples/windows-sysmon.json"),
    include_str!("../../host/src/cli/demo/samples/firewall.cef"),
    include_str!("../../host/src/cli/demo/samples/identity.leef"),
    include_str!("../../host/src/cli/demo/samples/sshd.syslog"),
    include_str!("../../host/src/cli/demo/samples/plc.syslog5424"),
];

/// xorshift64: the same lines on every run, so that a failure can be looked at.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// A seed with a few bytes changed, cut, doubled or swapped for another seed's.
fn garble(random: &mut Random) -> Vec<u8> {
    let mut line = SEEDS[random.below(SEEDS.len())].trim_end().as_bytes().to_vec();
    for _ in 0..=random.below(4) {
        let (at, length) = (random.below(line.len()), random.below(20));
        let end = (at + length).min(line.len());
        match random.below(5) {
            0 => line.truncate(at),
            1 => line.get_mut(at).into_iter().for_each(|byte| *byte = (*byte).wrapping_add(1 + length as u8)),
            2 => drop(line.drain(at..end)),
            3 => {
                let doubled = line[at..end].repeat(3);
                line.splice(at..at, doubled);
            }
            _ => {
                let other = SEEDS[random.below(SEEDS.len())].as_bytes();
                let from = random.below(other.len());
                line.splice(at..end, other[from..].iter().copied().take(40));
            }
        }
    }
    line.retain(|&byte| byte != b'\n' && byte != b'\r');
    line
}

#[test]
fn garbled_lines_cost_no_trap_and_none_is_skipped() -> Result<()> {
    const LINES: usize = 4000;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let lines: Vec<Vec<u8>> = (0..LINES).map(|_| garble(&mut random)).collect();
    let input = lines.join(&b"\n"[..]);
    for format in ["auto", "json", "cef", "leef", "syslog", "mqtt"] {
        let answers = pipe(&["--format", format, "--topic", "aurora/sensors/door_1/alerts"], &input)?.lines;
        // An empty last line is no line.
        let sent = if lines.last().is_some_and(Vec::is_empty) { LINES - 1 } else { LINES };
        assert_eq!(answers.len(), sent, "{format}");
        for (line, answer) in lines.iter().zip(&answers) {
            let said = format!("{format}, `{}`: {answer:?}", String::from_utf8_lossy(line));
            assert!(["accepted", "dropped", "rejected"].contains(&answer.outcome()), "{said}");
            for word in ["trap", "no answer within", "fails a check", "memory:"] {
                assert!(!answer.reason().contains(word), "{said}");
                assert!(!answer.0["events"].to_string().contains(&format!("failed: {word}")), "{said}");
            }
        }
    }
    Ok(())
}
