//! What is known of a field by its key alone: whether its value can hold observables, and which product's shape it
//! betrays. One lookup a field, in a table made at compile time, so that a fresh instance has nothing to build.

use aurora_guest::{ObservableType, same};

/// What to look for in a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treat {
    /// Anything, anywhere in it.
    Scan,
    /// Nothing: a number, a time, an identifier.
    Skip,
    /// It is, as a whole, one of these.
    As(ObservableType),
    /// `MD5=…,SHA256=…`, as Sysmon writes hashes.
    Hashes,
    /// Ids of MITRE ATT&CK techniques.
    Techniques,
}

/// What the table says of a key.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What to look for in the value.
    pub treat: Treat,
    /// One of [`marks`], or 0.
    pub mark: u32,
}

/// Bits that tell which products' keys an event has.
pub mod marks {
    pub const SURICATA: u32 = 1;
    pub const ZEEK: u32 = 1 << 1;
    pub const WAZUH: u32 = 1 << 2;
    pub const WINDOWS: u32 = 1 << 3;
    /// Windows, in any shape that nests it.
    pub const WINLOGBEAT: u32 = 1 << 4;
    pub const VELOCIRAPTOR: u32 = 1 << 5;
    pub const OCSF: u32 = 1 << 6;
    pub const ECS: u32 = 1 << 7;
    pub const CLOUDTRAIL: u32 = 1 << 8;
    pub const OKTA: u32 = 1 << 9;
    pub const SENTINEL: u32 = 1 << 10;
}

/// A hash of a key, for this table and for [`crate::draft`]'s. Word by word over the whole key: flattened arrays give
/// keys that differ only in the middle.
#[must_use]
pub const fn hash(key: &str) -> u32 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut rest = key.as_bytes();
    let mut hash = (rest.len() as u64).wrapping_mul(K);
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        hash = (hash.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(K);
        rest = after;
    }
    let mut word = 0;
    if let (Some(low), Some(high)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        word = u32::from_le_bytes(*low) as u64 | (u32::from_le_bytes(*high) as u64) << 32;
    } else if !rest.is_empty() {
        word = rest[0] as u64 | (rest[rest.len() / 2] as u64) << 8 | (rest[rest.len() - 1] as u64) << 16;
    }
    hash = (hash.rotate_left(23) ^ word).wrapping_mul(K);
    (hash >> 32) as u32
}

/// What is known of the field `key`, whose [`hash`] is `hash`.
#[must_use]
pub fn known(key: &str, hash: u32) -> Option<Known> {
    let mut slot = hash as usize % SLOTS;
    loop {
        let entry = TABLE[slot] as usize;
        if entry == 0 {
            return None;
        }
        let (name, treat, mark) = KEYS[entry - 1];
        if same(name, key) {
            return Some(Known { treat, mark });
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// Whether a key that is not in the table speaks of ATT&CK techniques: `mitre`, `attack`, `technique` in any case.
#[must_use]
pub fn names_techniques(key: &str) -> bool {
    const MITRE: u32 = u32::from_le_bytes(*b"itre");
    const ATTACK: u32 = u32::from_le_bytes(*b"ttac");
    const TECHNIQUE: u32 = u32::from_le_bytes(*b"chni");
    key.as_bytes().windows(4).any(|four| {
        let four = u32::from_le_bytes([four[0], four[1], four[2], four[3]]) | 0x2020_2020;
        four == MITRE || four == ATTACK || four == TECHNIQUE
    })
}

const SLOTS: usize = 2048;

static TABLE: [u16; SLOTS] = {
    let mut table = [0_u16; SLOTS];
    let mut index = 0;
    while index < KEYS.len() {
        let mut slot = hash(KEYS[index].0) as usize % SLOTS;
        while table[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = index as u16 + 1;
        index += 1;
    }
    table
};

use ObservableType::{Domain, Email, FilePath, HashMd5, HashSha1, HashSha256, Ip, Mutex, RegistryKey, Url, UserAgent};
use Treat::{As, Hashes, Scan, Skip, Techniques};

/// The table. A key stands in it once; a test holds that.
static KEYS: &[(&str, Treat, u32)] = &[
    // Suricata EVE.
    ("event_type", Skip, marks::SURICATA),
    ("flow_id", Skip, marks::SURICATA),
    ("timestamp", Skip, 0),
    ("in_iface", Skip, 0),
    ("src_ip", As(Ip), 0),
    ("dest_ip", As(Ip), 0),
    ("src_port", Skip, 0),
    ("dest_port", Skip, 0),
    ("proto", Skip, 0),
    ("app_proto", Skip, 0),
    ("pkt_src", Skip, 0),
    ("community_id", Skip, 0),
    ("packet", Skip, 0),
    ("payload", Skip, 0),
    ("alert.action", Skip, 0),
    ("alert.category", Skip, 0),
    ("alert.signature", Scan, 0),
    ("alert.metadata.mitre_technique_id", Techniques, 0),
    ("alert.metadata.mitre_technique_name", Skip, 0),
    ("alert.metadata.mitre_tactic_id", Skip, 0),
    ("alert.metadata.mitre_tactic_name", Skip, 0),
    ("alert.metadata.created_at", Skip, 0),
    ("alert.metadata.updated_at", Skip, 0),
    ("alert.metadata.attack_target", Skip, 0),
    ("alert.metadata.former_category", Skip, 0),
    ("alert.metadata.signature_severity", Skip, 0),
    ("alert.metadata.deployment", Skip, 0),
    ("alert.metadata.affected_product", Skip, 0),
    ("http.hostname", As(Domain), 0),
    ("http.http_user_agent", As(UserAgent), 0),
    ("http.http_method", Skip, 0),
    ("http.protocol", Skip, 0),
    ("http.http_content_type", Skip, 0),
    ("dns.rrname", As(Domain), 0),
    ("dns.rrtype", Skip, 0),
    ("dns.query.rrname", As(Domain), 0),
    ("tls.sni", As(Domain), 0),
    ("tls.fingerprint", Skip, 0),
    ("tls.version", Skip, 0),
    ("tls.serial", Skip, 0),
    ("tls.notbefore", Skip, 0),
    ("tls.notafter", Skip, 0),
    ("tls.ja3.hash", Skip, 0),
    ("tls.ja3s.hash", Skip, 0),
    ("tls.ja3.string", Skip, 0),
    ("tls.ja3s.string", Skip, 0),
    ("ssh.client.hassh.hash", Skip, 0),
    ("ssh.server.hassh.hash", Skip, 0),
    ("flow.start", Skip, 0),
    ("flow.end", Skip, 0),
    ("flow.src_ip", As(Ip), 0),
    ("flow.dest_ip", As(Ip), 0),
    ("fileinfo.md5", As(HashMd5), 0),
    ("fileinfo.sha1", As(HashSha1), 0),
    ("fileinfo.sha256", As(HashSha256), 0),
    ("fileinfo.magic", Skip, 0),
    ("fileinfo.state", Skip, 0),
    ("tx_id", Skip, 0),
    ("direction", Skip, 0),
    // Zeek.
    ("_path", Skip, marks::ZEEK),
    ("uid", Skip, 0),
    ("ts", Skip, 0),
    ("fuid", Skip, 0),
    ("fuids", Skip, 0),
    ("orig_fuids", Skip, 0),
    ("resp_fuids", Skip, 0),
    ("cert_chain_fuids", Skip, 0),
    ("client_cert_chain_fuids", Skip, 0),
    ("cert_chain_fps", Skip, 0),
    ("client_cert_chain_fps", Skip, 0),
    ("tunnel_parents", Skip, 0),
    ("id.orig_h", As(Ip), marks::ZEEK),
    ("id.resp_h", As(Ip), marks::ZEEK),
    ("id.orig_p", Skip, 0),
    ("id.resp_p", Skip, 0),
    ("conn_state", Skip, 0),
    ("history", Skip, 0),
    ("service", Skip, 0),
    ("duration", Skip, 0),
    ("local_orig", Skip, 0),
    ("local_resp", Skip, 0),
    ("ja3", Skip, 0),
    ("ja3s", Skip, 0),
    ("hassh", Skip, 0),
    ("query", Scan, 0),
    ("qtype_name", Skip, 0),
    ("qclass_name", Skip, 0),
    ("rcode_name", Skip, 0),
    ("server_name", As(Domain), 0),
    ("user_agent", As(UserAgent), 0),
    ("cipher", Skip, 0),
    ("curve", Skip, 0),
    ("md5", As(HashMd5), 0),
    ("sha1", As(HashSha1), 0),
    ("sha256", As(HashSha256), 0),
    ("note", Skip, 0),
    ("peer_descr", Skip, 0),
    // CEF, LEEF and the firewalls that write key=value.
    ("src", As(Ip), 0),
    ("dst", As(Ip), 0),
    ("spt", Skip, 0),
    ("dpt", Skip, 0),
    ("rt", Skip, 0),
    ("start", Skip, 0),
    ("end", Skip, 0),
    ("cnt", Skip, 0),
    ("act", Skip, 0),
    ("cat", Scan, 0),
    ("dvc", Scan, 0),
    ("smac", Skip, 0),
    ("dmac", Skip, 0),
    ("externalId", Skip, 0),
    ("dhost", Scan, 0),
    ("shost", Scan, 0),
    ("request", As(Url), 0),
    ("requestMethod", Skip, 0),
    ("requestClientApplication", As(UserAgent), 0),
    ("fileHash", Scan, 0),
    ("filePath", As(FilePath), 0),
    ("oldFilePath", As(FilePath), 0),
    ("deviceReceiptTime", Skip, 0),
    ("deviceVendor", Skip, 0),
    ("deviceProduct", Skip, 0),
    ("deviceVersion", Skip, 0),
    ("deviceEventClassId", Skip, 0),
    ("cefVersion", Skip, 0),
    ("leefVersion", Skip, 0),
    ("devTime", Skip, 0),
    ("devTimeFormat", Skip, 0),
    ("sev", Skip, 0),
    ("cs1Label", Skip, 0),
    ("cs2Label", Skip, 0),
    ("cs3Label", Skip, 0),
    ("cs4Label", Skip, 0),
    ("cs5Label", Skip, 0),
    ("cs6Label", Skip, 0),
    ("cn1Label", Skip, 0),
    ("cn2Label", Skip, 0),
    ("cn3Label", Skip, 0),
    ("srcPort", Skip, 0),
    ("dstPort", Skip, 0),
    ("srcip", As(Ip), 0),
    ("dstip", As(Ip), 0),
    ("srcport", Skip, 0),
    ("dstport", Skip, 0),
    ("date", Skip, 0),
    ("time", Skip, 0),
    ("eventtime", Skip, 0),
    ("tz", Skip, 0),
    ("logid", Skip, 0),
    ("devid", Skip, 0),
    ("policyid", Skip, 0),
    ("sessionid", Skip, 0),
    ("level", Skip, 0),
    ("type", Skip, 0),
    ("subtype", Skip, 0),
    ("action", Skip, 0),
    ("agent", Scan, 0),
    ("http_user_agent", As(UserAgent), 0),
    ("userAgent", As(UserAgent), 0),
    ("useragent", As(UserAgent), 0),
    ("http_agent", As(UserAgent), 0),
    ("SRC", As(Ip), 0),
    ("DST", As(Ip), 0),
    ("MAC", Skip, 0),
    ("SPT", Skip, 0),
    ("DPT", Skip, 0),
    ("panos.srcloc", Skip, 0),
    ("panos.dstloc", Skip, 0),
    ("panos.receive_time", Skip, 0),
    ("panos.time_generated", Skip, 0),
    ("panos.start", Skip, 0),
    ("panos.flags", Skip, 0),
    ("panos.serial", Skip, 0),
    ("panos.seqno", Skip, 0),
    ("panos.actionflags", Skip, 0),
    ("panos.contenttype", Skip, 0),
    ("panos.src", As(Ip), 0),
    ("panos.dst", As(Ip), 0),
    ("panos.natsrc", As(Ip), 0),
    ("panos.natdst", As(Ip), 0),
    ("panos.user_agent", As(UserAgent), 0),
    // Syslog.
    ("severity", Skip, 0),
    ("facility", Skip, 0),
    ("hostname", Scan, 0),
    ("appname", Skip, 0),
    ("procid", Skip, 0),
    ("msgid", Skip, 0),
    ("severity.source_value", Skip, 0),
    ("syslog.severity", Skip, 0),
    ("syslog.facility", Skip, 0),
    // Wazuh.
    ("rule.level", Skip, marks::WAZUH),
    ("rule.id", Skip, 0),
    ("rule.groups", Skip, 0),
    ("rule.mitre.id", Techniques, 0),
    ("rule.mitre.tactic", Skip, 0),
    ("rule.mitre.technique", Skip, 0),
    ("agent.ip", As(Ip), 0),
    ("agent.id", Skip, 0),
    ("decoder.name", Skip, 0),
    ("manager.name", Skip, 0),
    ("data.srcip", As(Ip), 0),
    ("data.dstip", As(Ip), 0),
    ("syscheck.md5_after", As(HashMd5), 0),
    ("syscheck.sha1_after", As(HashSha1), 0),
    ("syscheck.sha256_after", As(HashSha256), 0),
    ("syscheck.path", As(FilePath), 0),
    // Windows, flat (NXLog, OTRF).
    ("EventID", Skip, marks::WINDOWS),
    ("EventRecordID", Skip, 0),
    ("RecordNumber", Skip, 0),
    ("ProviderGuid", Skip, 0),
    ("SourceName", Skip, 0),
    ("Channel", Skip, 0),
    ("Task", Skip, 0),
    ("Keywords", Skip, 0),
    ("TimeCreated", Skip, 0),
    ("EventTime", Skip, 0),
    ("EventReceivedTime", Skip, 0),
    ("UtcTime", Skip, 0),
    ("CreationUtcTime", Skip, 0),
    ("PreviousCreationUtcTime", Skip, 0),
    ("@timestamp", Skip, 0),
    ("@version", Skip, 0),
    ("tags", Techniques, 0),
    ("LogonGuid", Skip, 0),
    ("ProcessGuid", Skip, 0),
    ("ParentProcessGuid", Skip, 0),
    ("SourceProcessGUID", Skip, 0),
    ("TargetProcessGUID", Skip, 0),
    ("SubjectUserSid", Skip, 0),
    ("TargetUserSid", Skip, 0),
    ("SubjectLogonId", Skip, 0),
    ("TargetLogonId", Skip, 0),
    ("UserID", Skip, 0),
    ("FileVersion", Skip, 0),
    ("OriginalFileName", Skip, 0),
    ("LayerName", Skip, 0),
    ("RuleName", Techniques, 0),
    ("Hashes", Hashes, 0),
    ("Hash", Hashes, 0),
    ("Image", As(FilePath), 0),
    ("ParentImage", As(FilePath), 0),
    ("SourceImage", As(FilePath), 0),
    ("TargetImage", As(FilePath), 0),
    ("ImageLoaded", As(FilePath), 0),
    ("TargetFilename", As(FilePath), 0),
    ("CurrentDirectory", As(FilePath), 0),
    ("ProcessName", As(FilePath), 0),
    ("NewProcessName", As(FilePath), 0),
    ("ParentProcessName", As(FilePath), 0),
    ("Application", As(FilePath), 0),
    ("ServiceFileName", Scan, 0),
    ("TargetObject", As(RegistryKey), 0),
    ("SourceIp", As(Ip), 0),
    ("DestinationIp", As(Ip), 0),
    ("SourceAddress", As(Ip), 0),
    ("DestAddress", As(Ip), 0),
    ("IpAddress", As(Ip), 0),
    ("QueryName", As(Domain), 0),
    ("MutexName", As(Mutex), 0),
    ("mutex", As(Mutex), 0),
    // Windows, as winlogbeat nests it.
    ("winlog.event_id", Skip, marks::WINLOGBEAT),
    ("winlog.provider_guid", Skip, 0),
    ("winlog.event_data.RuleName", Techniques, 0),
    ("winlog.event_data.Hashes", Hashes, 0),
    ("winlog.event_data.Image", As(FilePath), 0),
    ("winlog.event_data.ParentImage", As(FilePath), 0),
    ("winlog.event_data.TargetFilename", As(FilePath), 0),
    ("winlog.event_data.ImageLoaded", As(FilePath), 0),
    ("winlog.event_data.TargetObject", As(RegistryKey), 0),
    ("winlog.event_data.IpAddress", As(Ip), 0),
    ("winlog.event_data.DestinationIp", As(Ip), 0),
    ("winlog.event_data.SourceIp", As(Ip), 0),
    ("winlog.event_data.QueryName", As(Domain), 0),
    // Elastic Common Schema.
    ("ecs.version", Skip, marks::ECS),
    ("event.kind", Skip, marks::ECS),
    ("event.category", Skip, 0),
    ("event.created", Skip, 0),
    ("event.ingested", Skip, 0),
    ("event.id", Skip, 0),
    ("source.ip", As(Ip), 0),
    ("destination.ip", As(Ip), 0),
    ("client.ip", As(Ip), 0),
    ("server.ip", As(Ip), 0),
    ("host.ip", As(Ip), 0),
    ("url.full", As(Url), 0),
    ("url.domain", As(Domain), 0),
    ("dns.question.name", As(Domain), 0),
    ("user_agent.original", As(UserAgent), 0),
    ("user.email", As(Email), 0),
    ("file.path", As(FilePath), 0),
    ("file.hash.md5", As(HashMd5), 0),
    ("file.hash.sha1", As(HashSha1), 0),
    ("file.hash.sha256", As(HashSha256), 0),
    ("process.executable", As(FilePath), 0),
    ("process.hash.md5", As(HashMd5), 0),
    ("process.hash.sha1", As(HashSha1), 0),
    ("process.hash.sha256", As(HashSha256), 0),
    ("registry.path", As(RegistryKey), 0),
    ("threat.technique.id", Techniques, 0),
    ("threat.technique.subtechnique.id", Techniques, 0),
    // OCSF.
    ("class_uid", Skip, marks::OCSF),
    ("metadata.version", Skip, 0),
    ("metadata.uid", Skip, 0),
    ("activity_name", Skip, 0),
    ("src_endpoint.ip", As(Ip), 0),
    ("dst_endpoint.ip", As(Ip), 0),
    ("http_request.user_agent", As(UserAgent), 0),
    ("http_request.url.url_string", As(Url), 0),
    // CloudTrail.
    ("eventSource", Skip, marks::CLOUDTRAIL),
    ("eventVersion", Skip, 0),
    ("eventName", Skip, 0),
    ("eventTime", Skip, 0),
    ("eventID", Skip, 0),
    ("requestID", Skip, 0),
    ("sourceIPAddress", Scan, 0),
    ("userIdentity.arn", Skip, 0),
    ("userIdentity.principalId", Skip, 0),
    ("userIdentity.sessionContext.attributes.creationDate", Skip, 0),
    // Okta system log.
    ("legacyEventType", Skip, 0),
    ("eventType", Skip, 0),
    ("published", Skip, marks::OKTA),
    ("uuid", Skip, 0),
    ("client.ipAddress", As(Ip), 0),
    ("client.userAgent.rawUserAgent", As(UserAgent), 0),
    // Velociraptor.
    ("_Source", Skip, marks::VELOCIRAPTOR),
    ("ClientId", Skip, marks::VELOCIRAPTOR),
    ("_ts", Skip, 0),
    ("client_id", Skip, marks::VELOCIRAPTOR),
    // Azure's table of syslog.
    ("SyslogMessage", Scan, marks::SENTINEL),
    ("TimeGenerated", Skip, 0),
    ("TenantId", Skip, 0),
    ("_ResourceId", Skip, 0),
    ("MG", Skip, 0),
    // Windows, as its XML and tools that turn it into JSON nest it.
    ("Event.System.EventID", Skip, marks::WINLOGBEAT),
    ("System.EventID", Skip, marks::WINLOGBEAT),
    ("System.EventID.Value", Skip, marks::WINLOGBEAT),
    ("event_id", Skip, marks::WINLOGBEAT),
    ("TimeCreated.SystemTime", Skip, 0),
    ("Provider.Guid", Skip, 0),
    ("Correlation.ActivityID", Skip, 0),
    // Devices.
    ("device_id", Skip, 0),
    ("device_type", Skip, 0),
    ("board_family", Skip, 0),
    ("firmware_stack", Skip, 0),
    ("firmware_version", Skip, 0),
    ("firmware_hash", Skip, 0),
    ("signature_hex", Skip, 0),
    ("public_key_hex", Skip, 0),
    ("nonce", Skip, 0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_key_of_the_table_once() {
        for (index, (key, treat, _)) in KEYS.iter().enumerate() {
            assert_eq!(known(key, hash(key)).map(|k| k.treat), Some(*treat), "{key}");
            assert!(KEYS[..index].iter().all(|(other, ..)| other != key), "{key} stands twice");
        }
    }

    #[test]
    fn knows_nothing_of_other_keys() {
        assert!(known("src_ipx", hash("src_ipx")).is_none());
        assert!(known("", hash("")).is_none());
    }

    #[test]
    fn hears_of_techniques_in_any_spelling() {
        for key in ["MitreTechnique", "threat.tactic.Attack", "x_mitre_ids", "ATTACK"] {
            assert!(names_techniques(key), "{key}");
        }
        assert!(!names_techniques("attic"));
    }
}
