//! Verdicts, with Redis: what is known of the devices, and the step that uses nonces up.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};

use super::{
    Cause, Config, Last, Status, Verdict,
    examine::{self, Examined, Rules, examine},
    hex,
    notice::Notice,
    registry::{Registry, Standing},
    repeats,
    response::Response,
};
use crate::{
    broker::redis_streams::{Claim, Devices, DevicesError, Failure, Known, Repetition},
    event::{Context, is_device_id},
    pipeline::Audit,
};

/// How often an answer is judged again because the registry changed meanwhile.
const ROUNDS: usize = 3;

/// Judges answers. Shared by all lanes.
#[derive(Clone)]
pub struct Judge {
    devices: Devices,
    registry: Arc<Registry>,
    rules: Arc<Rules>,
    /// For how long failures of one cause are one; zero: each is told.
    window: Duration,
    audit: Option<Audit>,
}

/// An answer, and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub context: &'a Context,
    pub payload: &'a [u8],
    pub received_ms: i64,
    /// What tells this delivery from others, and stays the same when it is delivered again.
    pub delivery: String,
    /// What tells this host from others that may get the same answer.
    pub host: String,
    /// Whether it is the host's own, and no answer.
    pub is_notice: bool,
}

/// What comes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Verdict(Verdict),
    /// A failure that is told, and how many like it were not.
    First(Verdict, Repetition),
    /// A failure like one that was told: why nothing is published of it.
    Repeated(Verdict, String),
    /// It is no answer: the host tells of a device.
    Turned(Notice),
    /// Nothing is to be published: another host has it, it has its verdict, or it says what is no longer so.
    Nothing(&'static str),
}

/// What an [`Ask`] says.
enum Read {
    Answer(Response, String),
    Notice(Notice),
    /// With the device whose topic it came on.
    Malformed(String, Option<String>),
}

impl Judge {
    /// Judges by `config` and `registry`, and tells `audit` whom an answer enrolled.
    #[must_use]
    pub fn new(config: &Config, devices: Devices, registry: Arc<Registry>, audit: Option<Audit>) -> Self {
        let rules = Rules {
            form: config.message,
            firmware: config.firmware.iter().filter_map(|hash| hex::sha256(hash)).collect(),
            require_low_s: config.require_low_s,
        };
        Self { devices, registry, rules: Arc::new(rules), window: config.repeat_window, audit }
    }

    /// Judges `asks`, in order.
    ///
    /// # Errors
    /// If Redis cannot say or keep what there is to know: then there is no verdict. The same again is safe.
    pub(super) async fn judge(&self, asks: &[Ask<'_>]) -> Result<Vec<Judged>, DevicesError> {
        let read: Vec<Read> = asks.iter().map(Read::of).collect();
        let mut judged: Vec<Option<Judged>> = read
            .iter()
            .map(|read| match read {
                Read::Malformed(reason, None) => Some(Judged::Verdict(malformed(reason))),
                Read::Notice(notice @ (Notice::Silent { .. } | Notice::Back { .. })) => {
                    Some(Judged::Turned(notice.clone()))
                }
                _ => None,
            })
            .collect();
        let mut notes = Notes::default();
        for _ in 0..ROUNDS {
            if judged.iter().all(Option::is_some) {
                break;
            }
            self.round(asks, &read, &mut judged, &mut notes).await?;
        }
        let changing = || DevicesError::Unreadable {
            device: "of this batch".to_owned(),
            what: "its record changed again and again".to_owned(),
        };
        let judged = judged.into_iter().collect::<Option<Vec<_>>>().ok_or_else(changing)?;
        self.devices.note(&notes.last, &notes.answered).await?;
        // Last, for whatever fails before is judged again, and would be counted again.
        self.hold_back(asks, &read, judged).await
    }

    /// Of failures that repeat lets one through.
    async fn hold_back(
        &self,
        asks: &[Ask<'_>],
        read: &[Read],
        mut judged: Vec<Judged>,
    ) -> Result<Vec<Judged>, DevicesError> {
        if self.window.is_zero() {
            return Ok(judged);
        }
        let listed = self.registry.listed();
        let (mut places, mut failures) = (Vec::new(), Vec::new());
        for (place, (ask, read)) in asks.iter().zip(read).enumerate() {
            let Judged::Verdict(Verdict { cause: Some(cause), .. }) = &judged[place] else { continue };
            // Whom the topic names failed, even if it is an answer of somebody else's.
            let device = ask.context.device_id.as_deref().or(read.device()).unwrap_or_default();
            let response = hex::encode(&Sha256::digest(ask.payload));
            let (host, delivery) = match read {
                // Hosts make them, and make them again when one is not stored; what one is about is told by its bytes.
                Read::Notice(_) => ("notice".to_owned(), response.clone()),
                _ => (ask.host.clone(), ask.delivery.clone()),
            };
            let (device, is_listed) = (device.to_owned(), listed.contains_key(device));
            places.push(place);
            failures.push(Failure { device, is_listed, cause: cause.as_str(), response, host, delivery });
        }
        if failures.is_empty() {
            return Ok(judged);
        }
        let entered = self.devices.enter(&failures, self.window).await?;
        for (place, repetition) in places.into_iter().zip(entered) {
            let before = std::mem::replace(&mut judged[place], Judged::Nothing("it is being judged"));
            judged[place] = repeats::entered(before, repetition);
        }
        Ok(judged)
    }

    /// Judges those that are not judged yet.
    async fn round(
        &self,
        asks: &[Ask<'_>],
        read: &[Read],
        judged: &mut [Option<Judged>],
        notes: &mut Notes,
    ) -> Result<(), DevicesError> {
        let open: Vec<usize> = (0..asks.len()).filter(|&index| judged[index].is_none()).collect();
        let names: BTreeSet<&str> = open.iter().filter_map(|&index| read[index].device()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let known = self.devices.look(&names).await?;
        let of = |device: &str| names.binary_search(&device).ok().and_then(|place| known.get(place));
        let (mut claims, mut claimed) = (Vec::new(), Vec::new());
        for index in open {
            let Some(known) = read[index].device().and_then(of) else { continue };
            match &read[index] {
                Read::Answer(response, digest) => {
                    let standing = self.registry.standing_of(&response.device, known);
                    let ask = &asks[index];
                    match examine(response, digest, &standing, known, &self.rules, ask.received_ms) {
                        Examined::Failed(cause, reason) => {
                            let verdict = Verdict::failed(cause, reason, Some(&response.nonce));
                            if !matches!(standing, Standing::Unknown) {
                                notes.add(&response.device, &verdict, ask.received_ms);
                            }
                            // Somebody answered, and how will be seen.
                            if known.challenges.iter().any(|challenge| challenge.nonce == response.nonce) {
                                notes.answered.push((response.device.clone(), response.nonce.clone()));
                            }
                            judged[index] = Some(Judged::Verdict(verdict));
                        }
                        Examined::Claim { fault, renewed } => {
                            claims.push(Claim {
                                device: response.device.clone(),
                                nonce: response.nonce.clone(),
                                response: digest.clone(),
                                host: ask.host.clone(),
                                delivery: ask.delivery.clone(),
                                boot: response.boot_count,
                                fault,
                                record: known.record.clone(),
                                renewed,
                                received_ms: ask.received_ms,
                                key: examine::signer(response, &standing),
                            });
                            let is_compared = examine::expects_firmware(&standing, &self.rules);
                            claimed.push((index, response, is_compared));
                        }
                    }
                }
                Read::Notice(Notice::Unanswered { device_id, nonce, was_heard }) => {
                    let about = (device_id.as_str(), nonce.as_str(), *was_heard);
                    judged[index] = Some(unanswered(about, known, asks[index].received_ms, notes));
                }
                Read::Malformed(reason, _) => {
                    let verdict = malformed(reason);
                    // Whoever waits for an answer of this device is to see what came.
                    if let Some(device) = read[index].device()
                        && !matches!(self.registry.standing_of(device, known), Standing::Unknown)
                    {
                        notes.add(device, &verdict, asks[index].received_ms);
                    }
                    judged[index] = Some(Judged::Verdict(verdict));
                }
                Read::Notice(_) => {}
            }
        }
        if claims.is_empty() {
            return Ok(());
        }
        let answers = self.devices.claim(&claims).await?;
        for ((index, response, is_compared), (code, detail)) in claimed.into_iter().zip(answers) {
            judged[index] = self.verdict(response, is_compared, &code, &detail, asks[index].received_ms, notes)?;
        }
        Ok(())
    }

    /// What the step in Redis says of an answer whose signature holds, and whose firmware there may have been something
    /// to compare with; none: judge again.
    fn verdict(
        &self,
        response: &Response,
        is_compared: bool,
        code: &str,
        detail: &str,
        received_ms: i64,
        notes: &mut Notes,
    ) -> Result<Option<Judged>, DevicesError> {
        let nonce = Some(response.nonce.as_str());
        let holds = |status, reason: &str| Verdict {
            status,
            cause: None,
            reason: reason.to_owned(),
            nonce: nonce.map(str::to_owned),
        };
        let verdict = match code {
            "changed" => return Ok(None),
            "elsewhere" => return Ok(Some(Judged::Nothing("another host of this site has this answer"))),
            "repeated" => return Ok(Some(Judged::Nothing("this very answer came before, and has its verdict"))),
            "valid" if is_compared => holds(Status::Valid, "signature, nonce, boot count and firmware hold"),
            // Whoever reads `valid` must not take the firmware for a known one.
            "valid" => {
                let reason =
                    "signature, nonce and boot count hold; the firmware was not compared, for none is expected";
                holds(Status::Valid, reason)
            }
            "enrolled" => {
                if let Some(audit) = &self.audit {
                    let details = format!("device={} by=answer", response.device);
                    audit.record("device-enroll", details);
                }
                let reason = "enrolled with the key of this answer; nothing but the open gate says whose key that is";
                holds(Status::StructuralPass, reason)
            }
            "boot" => {
                let reason = format!("boot count {} is below {detail}, its last", response.boot_count);
                Verdict::failed(Cause::BootCount, reason, nonce)
            }
            examine::FIRMWARE => {
                let reason = format!("runs a firmware that is not expected: {}", response.firmware);
                Verdict::failed(Cause::Firmware, reason, nonce)
            }
            "used" => Verdict::failed(Cause::Replayed, "the nonce was used before, by another delivery", nonce),
            "expired" => {
                let reason = examine::expired(detail.parse().unwrap_or(received_ms), received_ms);
                Verdict::failed(Cause::Expired, reason, nonce)
            }
            "unknown" => {
                let reason = "the nonce is none of those that this device was sent last";
                Verdict::failed(Cause::UnknownNonce, reason, nonce)
            }
            other => {
                let what = format!("its claim was answered with {other:?}");
                return Err(DevicesError::Unreadable { device: response.device.clone(), what });
            }
        };
        notes.add(&response.device, &verdict, received_ms);
        Ok(Some(Judged::Verdict(verdict)))
    }
}

fn malformed(reason: &str) -> Verdict {
    Verdict::failed(Cause::Malformed, reason, None)
}

/// Whether a challenge is still unanswered: by which device, of which nonce, and whether it was heard of.
fn unanswered((device, nonce, was_heard): (&str, &str, bool), known: &Known, now_ms: i64, notes: &mut Notes) -> Judged {
    let of_nonce = known.challenges.iter().find(|challenge| challenge.nonce == nonce);
    match of_nonce {
        Some(challenge) if challenge.used.is_none() && challenge.expires < now_ms => {
            let took = (challenge.expires - challenge.issued).max(0) / 1000;
            let besides = if was_heard { "although it is online" } else { "and was never heard of" };
            let reason = format!("did not answer within {took} s, {besides}");
            let verdict = Verdict::failed(Cause::Unanswered, reason, Some(nonce));
            notes.add(device, &verdict, now_ms);
            Judged::Verdict(verdict)
        }
        _ => Judged::Nothing("the challenge was answered, or is too long ago"),
    }
}

/// What is to be kept of verdicts beside their results.
#[derive(Debug, Default)]
struct Notes {
    last: Vec<(String, String)>,
    answered: Vec<(String, String)>,
}

impl Notes {
    fn add(&mut self, device: &str, verdict: &Verdict, at_ms: i64) {
        let last = serde_json::to_string(&Last::of(verdict, at_ms)).unwrap_or_default();
        self.last.push((device.to_owned(), last));
    }
}

impl Read {
    fn of(ask: &Ask<'_>) -> Self {
        let device = ask.context.device_id.as_deref();
        if ask.is_notice {
            return match serde_json::from_slice(ask.payload) {
                Ok(notice) => Self::Notice(notice),
                Err(error) => Self::Malformed(error.to_string(), None),
            };
        }
        match Response::read(ask.payload, device) {
            Ok(response) => Self::Answer(response, hex::encode(&Sha256::digest(ask.payload))),
            Err(reason) => Self::Malformed(reason, device.filter(|id| is_device_id(id)).map(str::to_owned)),
        }
    }

    fn device(&self) -> Option<&str> {
        match self {
            Self::Answer(response, _) => Some(&response.device),
            Self::Notice(notice) => Some(notice.device()),
            Self::Malformed(_, device) => device.as_deref(),
        }
    }
}
