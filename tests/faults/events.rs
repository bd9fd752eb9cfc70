//! The numbered events: which device sends what, and how its number is found again.

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Alerts of four devices, readings with a number of one more, and of another one readings that are all the same:
    /// no content tells them apart, only who delivered them.
    Mixed,
    /// Alerts alone.
    Alerts,
    /// Lines for the hostile guest, which traps at each number that this divides.
    Trapping(u32),
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An alert with its number in it. High ones leave the site.
    Alert {
        /// Whether it does.
        high: bool,
    },
    /// A reading.
    Telemetry {
        /// Whether its number is in it; else it is like all others of its device.
        numbered: bool,
    },
    /// An alert on which the guest traps.
    Poison,
}

/// An event that was sent; its number is its place in the book.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub device: u32,
    pub kind: Kind,
    /// When it was sent, milliseconds since 1970-01-01 UTC.
    pub sent_ms: i64,
    /// When the broker acknowledged it, milliseconds since 1970-01-01 UTC; none while it has not, or in doubt.
    pub acked_ms: Option<i64>,
}

/// Devices 0 to 3 send alerts, the others send readings.
const ALERTING: u32 = 4;
const DEVICES: u32 = 6;

/// Name of a device.
pub fn device(index: u32) -> String {
    format!("device_{index}")
}

/// Alerts of even devices go at QoS 1, of odd ones at QoS 2; never both for one device, as MQTT keeps no order between
/// them.
pub fn qos(device: u32) -> u8 {
    if device < ALERTING { 1 + (device % 2) as u8 } else { 1 }
}

impl Shape {
    /// The event with this number.
    pub fn event(self, number: u32) -> (u32, Kind) {
        match self {
            Self::Mixed if number % 4 == 3 => {
                let device = ALERTING + number / 4 % (DEVICES - ALERTING);
                (device, Kind::Telemetry { numbered: device == ALERTING })
            }
            Self::Trapping(every) if number % every == every - 1 => (number % ALERTING, Kind::Poison),
            // The device changes after its high one and its low one.
            _ => (
                number / 2 % ALERTING,
                Kind::Alert { high: number.is_multiple_of(2) || matches!(self, Self::Trapping(_)) },
            ),
        }
    }

    /// How many devices there are.
    pub fn devices(self) -> u32 {
        if self == Self::Mixed { DEVICES } else { ALERTING }
    }

    /// What the event says.
    pub fn payload(self, number: u32, kind: Kind) -> String {
        match (self, kind) {
            (_, Kind::Telemetry { numbered: true }) => {
                format!(r#"{{"sensor":"temperature","value":21.50,"unit":"C","number":{number}}}"#)
            }
            (_, Kind::Telemetry { numbered: false }) => {
                r#"{"sensor":"temperature","value":21.50,"unit":"C"}"#.to_owned()
            }
            (_, Kind::Poison) => format!("normalize trap {number}"),
            (Self::Trapping(_), _) => format!("plain {number}"),
            (_, Kind::Alert { high }) => {
                let severity = if high { "high" } else { "low" };
                format!(r#"{{"severity":"{severity}","title":"alert {number}","number":{number}}}"#)
            }
        }
    }
}

/// The number in a payload that [`Shape`] wrote, or in anything that contains it.
pub fn number_in(text: &str) -> Option<u32> {
    let marks = [r#""number":"#, r#""number":""#, "plain ", "normalize trap "];
    let digits = marks.iter().filter_map(|mark| {
        let rest = &text[text.find(mark)? + mark.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    });
    digits.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_what_was_sent_and_in_what_comes_out() {
        for shape in [Shape::Alerts, Shape::Trapping(10)] {
            for number in 0..40 {
                let (_, kind) = shape.event(number);
                assert_eq!(number_in(&shape.payload(number, kind)), Some(number));
            }
        }
        assert_eq!(number_in(r#"{"fields":{"number":"17"}}"#), Some(17));
        assert_eq!(number_in(r#"{"value":17}"#), None);
    }

    #[test]
    fn half_of_the_alerts_leave_the_site_and_every_device_has_both() {
        let events: Vec<_> = (0..4000).map(|number| Shape::Alerts.event(number)).collect();
        for device in 0..ALERTING {
            let high = events.iter().filter(|event| **event == (device, Kind::Alert { high: true })).count();
            assert_eq!(high, 500);
        }
    }
}
