//! Bad configurations and what must be said about each.

use std::{fs, path::Path};

use tempfile::TempDir;
use toml::de::DeTable;

use super::*;

/// A component's first eight bytes: as much as loading looks at.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Made for these tests alone: a self-signed certificate, its key, and a key that belongs to another.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUMrNzFq+4NfqGktNspHWNtdRTeZUwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjIwMDQxNThaGA8yMTI2MTAyOTAwNDE1
OFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEn1
dLskq3Ft8gxz1WeX/bSAlwD0ojRD5nBDNd/yUVy4cDJa/96nWbwr8z7ixlNyZf3C
qmG0JIn2sV+wN0OZoKujUzBRMB0GA1UdDgQWBBQRMH62XjzsqORVoYFOartEjIL4
jDAfBgNVHSMEGDAWgBQRMH62XjzsqORVoYFOartEjIL4jDAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIEJk0NEDWMfhthrJFR7BeOH7wzoJbBS3nTx8
VO5L4ZdEAiAnjUFxk4qEKY/vlqAsFBO/TQC6DyKkEvDmkqCpnA2Naw==
-----END CERTIFICATE-----
";
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgvE/u2edi3d+uJC6g
1oGgYe6PB0uEQ9pUrYwBdf4PbM+hRANCAARJ9XS7JKtxbfIMc9Vnl/20gJcA9KI0
Q+ZwQzXf8lFcuHAyWv/ep1m8K/M+4sZTcmX9wqphtCSJ9rFfsDdDmaCr
-----END PRIVATE KEY-----
";
const OTHER_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7Ji7itVldSH4pSWx
gayW2fnKpIXcRIRN7bOLg/WLl3+hRANCAARYm0f1PcEwwlyWteZ0V00fqBTB41tn
OOlH37vR2H80e/ZXeUqpw0HPZ4zAQ5l49q3CC67v/WDYZ7qssIoZNbzg
-----END PRIVATE KEY-----
";

const SOUND: &str = "\
[site]
id = \"plant\"

[redis]
url = \"redis://127.0.0.1\"

[guests.normalize]
path = \"n.wasm\"
[guests.route]
path = \"n.wasm\"
[guests.federate]
path = \"n.wasm\"

[mqtt]
url = \"mqtt://127.0.0.1\"
# What a test adds begins below.
";

struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(TempDir::new().unwrap());
        for (name, bytes) in [
            ("n.wasm", COMPONENT),
            ("module.wasm", b"\0asm\x01\0\0\0"),
            ("empty", b" \n"),
            ("secret", b"hunter2\n"),
            ("ca.pem", CERTIFICATE.as_bytes()),
            ("cert.pem", CERTIFICATE.as_bytes()),
            ("key.pem", KEY.as_bytes()),
            ("other.pem", OTHER_KEY.as_bytes()),
        ] {
            site.write(name, bytes);
        }
        site
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    fn load(&self, text: &str, variables: &[(&str, &str)], purpose: Purpose) -> Result<Config, Vec<String>> {
        self.write("aurora.toml", text.as_bytes());
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let file = self.path().join("aurora.toml");
        let folder = format!("{}/", self.path().display());
        let lines = |problems: Problems| problems.iter().map(|one| one.to_string().replace(&folder, "")).collect();
        Config::load(Some(&file), variables, purpose).map_err(lines)
    }
}

/// Problems of `SOUND` with `text` behind it.
fn problems(text: &str) -> Vec<String> {
    Site::new().load(&format!("{SOUND}{text}"), &[], Purpose::Run).err().unwrap_or_default()
}

fn problems_with(variables: &[(&str, &str)]) -> Vec<String> {
    Site::new().load(SOUND, variables, Purpose::Run).err().unwrap_or_default()
}

#[test]
fn a_sound_file_loads() {
    assert_eq!(problems(""), [] as [&str; 0]);
}

#[test]
fn each_bad_setting_is_named_with_its_line_its_key_and_the_remedy() {
    // `SOUND` has 16 lines and ends in [mqtt], so each text begins on line 17 in that section.
    for (text, expected) in [
        ("ulr = 1", "aurora.toml:17: mqtt.ulr: unknown key; did you mean `url`?"),
        ("colour = 1", "aurora.toml:17: mqtt.colour: unknown key; known here: url, version, "),
        ("[mqqt]", "aurora.toml:17: mqqt: unknown key; did you mean `mqtt`?"),
        ("client_id = 7", "aurora.toml:17: mqtt.client_id: is the integer 7, expected a string; put it in quotes"),
        ("client_id = ''", "aurora.toml:17: mqtt.client_id: is empty"),
        ("version = 5", "aurora.toml:17: mqtt.version: is not a string; put the value in quotes"),
        ("version = '4'", "aurora.toml:17: mqtt.version: unknown value \"4\"; choose one of \"3.1.1\", \"5\""),
        ("keep_alive = 30", "aurora.toml:17: mqtt.keep_alive: is the integer 30, expected a duration; write it with"),
        ("keep_alive = '30 parsecs'", "mqtt.keep_alive: is the string \"30 parsecs\", expected a duration"),
        ("keep_alive = '10ms'", "aurora.toml:17: mqtt.keep_alive: is out of range; choose \"1s\" to \"65535s\""),
        ("session_expiry = '0s'", "mqtt.session_expiry: is out of range"),
        ("reconnect_max = '1ms'", "mqtt.reconnect_max: is out of range"),
        ("max_in_flight = 0", "mqtt.max_in_flight: is out of range; choose 1 to 16384"),
        ("max_in_flight = 16385", "mqtt.max_in_flight: is out of range; choose 1 to 16384"),
        ("max_in_flight_bytes = 0", "mqtt.max_in_flight_bytes: is out of range; choose \"1KiB\" to \"4GiB\""),
        (
            "max_payload = '1 lot'",
            "mqtt.max_payload: is the string \"1 lot\", expected a size; write it like \"64MiB\"",
        ),
        ("max_payload = -1", "mqtt.max_payload: is the integer -1, expected a size"),
        ("max_payload = 0", "mqtt.max_payload: is out of range"),
        ("password_file = 'secret'", "mqtt.password_file: is set without `mqtt.username`"),
        ("username = 'u'\npassword_file = 'gone'", "aurora.toml:18: mqtt.password_file: gone does not exist; "),
        ("username = 'u'\npassword_file = 'empty'", "mqtt.password_file: empty holds no secret"),
        ("username = 'u'\npassword_file = ''", "mqtt.password_file: is empty"),
        ("subscriptions = []", "mqtt.subscriptions: is empty, so no event would come"),
        ("subscriptions = ['a']", "aurora.toml:17: mqtt.subscriptions[0]: is the string \"a\", expected a table"),
        ("[[mqtt.subscriptions]]\nqos = 1", "aurora.toml:17: mqtt.subscriptions[0].topic: is missing or empty"),
        ("[[mqtt.subscriptions]]\ntopic = 'a'\nqos = 3", "aurora.toml:19: mqtt.subscriptions[0].qos: 3 is no quality"),
        (
            "[[mqtt.subscriptions]]\ntopic = 'a'\nfromat = 'x'",
            "mqtt.subscriptions[0].fromat: unknown key; did you mean",
        ),
        ("[[mqtt.subscriptions]]\ntopic = 'a'\nsource = ''", "mqtt.subscriptions[0].source: is empty"),
        ("[[mqtt.subscriptions]]\ntopic = 'a/#/b'", "aurora.toml:18: mqtt.subscriptions[0].topic: \"a/#/b\" has a `#`"),
        (
            "[[mqtt.subscriptions]]\ntopic = 'a'\n[[mqtt.subscriptions]]\ntopic = 'a'",
            "aurora.toml:20: mqtt.subscriptions[1].topic: \"a\" is subscribed to twice",
        ),
        (
            "[[mqtt.subscriptions]]\ntopic = 'a/+'\n[[mqtt.subscriptions]]\ntopic = 'a/#'",
            "aurora.toml:20: mqtt.subscriptions[1].topic: \"a/#\" overlaps with \"a/+\"",
        ),
        ("[redis.streams]\n'a b' = 1", "aurora.toml:18: redis.streams.\"a b\": \"a b\" is no stream name"),
        ("[redis.streams]\na = -1", "redis.streams.a: is the integer -1, expected a whole number, not negative"),
        ("[redis.streams]\n'aurora:outbox' = 5", "redis.outbox: is also in `redis.streams`"),
        (
            "[attestation]\ninterval = '1s'",
            "aurora.toml:18: attestation.interval: is shorter than `attestation.answer_within`",
        ),
        ("[attestation]\nanswer_within = '0s'", "aurora.toml:18: attestation.answer_within: is out of range"),
        ("[attestation]\nrepeat_window = '25h'", "aurora.toml:18: attestation.repeat_window: is out of range"),
        ("[attestation]\nstale = '1s'", "aurora.toml:18: attestation.stale: is shorter than `attestation.online`"),
        (
            "[attestation]\nfirmware = ['ab']",
            "aurora.toml:18: attestation.firmware: \"ab\" is not 64 hexadecimal digits",
        ),
        ("[attestation]\nrequest_topic = 'a/+'", "aurora.toml:18: attestation.request_topic: has no single {device}"),
        ("[attestation]\ndevices = 'empty'\nmessage = 'x'", "aurora.toml:19: attestation.message: unknown value \"x\""),
        ("[attestation]\ndevices = 'secret'", "aurora.toml:18: attestation.devices: "),
        (
            "subscriptions = [{ topic = 'a' }]\n[attestation]",
            "aurora.toml:18: attestation: devices are asked, but no subscription of [mqtt] takes their answers",
        ),
        ("[spool]", "aurora.toml:17: spool.path: is missing or empty; name a folder"),
        ("[spool]\npath = ''", "aurora.toml:18: spool.path: is missing or empty"),
        ("[spool]\npath = 'n.wasm'", "aurora.toml:18: spool.path: n.wasm is not a folder"),
        (
            "[spool]\npath = 's'\nmax_bytes = '1MiB'",
            "aurora.toml:19: spool.max_bytes: is out of range; choose \"8MiB\"",
        ),
        ("[spool]\npath = 's'\nafter = '2h'", "aurora.toml:19: spool.after: is out of range; choose \"0ms\" to \"1h\""),
        ("[spool]\npath = 's'\nafter = 1", "aurora.toml:19: spool.after: is the integer 1, expected a duration"),
        (
            "[spool]\npath = 's'\nsize = 1",
            "aurora.toml:19: spool.size: unknown key; known here: path, max_bytes, after",
        ),
        ("[nats]", "aurora.toml:17: nats.url: is missing or empty; write it like \"nats://host:port\""),
        ("[nats]\nurl = 'http://h'", "aurora.toml:18: nats.url: \"http://h\" has the wrong scheme"),
        ("[nats]\nurl = 'nats://a,b'", "nats.url: lists a server without its scheme"),
        ("[nats]\nurl = 'nats://a,tls://b:0'", "nats.url: \"tls://b:0\" has port 0"),
        ("[nats]\nurl = 'nats://a'\ncert = 'cert.pem'", "aurora.toml:19: nats.cert: is set without `nats.key`"),
        ("[nats]\nurl = 'nats://a'\nkey = 'key.pem'", "aurora.toml:19: nats.key: is set without `nats.cert`"),
        ("[nats]\nurl = 'nats://a'\ncredentials = 'secret'", "nats.credentials: secret holds no NATS credentials"),
        ("[nats]\nurl = 'nats://a'\nstream = 'a.b'", "nats.stream: \"a.b\" is no JetStream stream name"),
        ("[nats]\nurl = 'nats://a'\nsubjects = []", "nats.subjects: is empty"),
        ("[nats]\nurl = 'nats://a'\nsubjects = ['a..b']", "aurora.toml:19: nats.subjects[0]: \"a..b\" is no subject"),
        ("[nats]\nurl = 'nats://a'\nsubjects = ['a.>', 'a.b']", "nats.subjects[1]: \"a.b\" overlaps with \"a.>\""),
        ("[nats]\nurl = 'nats://a'\nmax_in_flight = 0", "nats.max_in_flight: is out of range"),
        ("[nats]\nurl = 'nats://a'\nretries = 1001", "aurora.toml:19: nats.retries: is out of range"),
        ("[nats]\nurl = 'nats://a'\nhost = 'a b'", "aurora.toml:19: nats.host: is no name of a host"),
        ("[nats]\nurl = 'nats://a'\nmax_bytes = 5", "nats.max_bytes: is out of range"),
        ("[nats]\nurl = 'nats://a'\nduplicate_window = '1ms'", "nats.duplicate_window: is out of range"),
        ("[nats]\nurl = 'nats://a'\nack_timeout = '0s'", "nats.ack_timeout: is out of range"),
        ("[federation]\nsets = []", "aurora.toml:18: federation.sets: is empty; name \"aurora\", \"AURORA\", or both"),
        ("[federation]\nsets = ['aurora', 'aurora']", "federation.sets: names a set twice"),
        ("[federation]\nsets = ['Aurora']", "federation.sets[0]: unknown value \"Aurora\"; choose one of \"aurora\", "),
        (
            "[nats]\nurl = 'nats://a'\nsubjects = ['aurora.>']\n[federation]\nsets = ['AURORA']",
            "aurora.toml:21: federation.sets: has \"AURORA\", but nothing may be shared to AURORA.alerts; add it to nats",
        ),
        (
            "[nats]\nurl = 'nats://a'\n[federation]\nsets = ['AURORA']\nceiling.subjects = ['AURORA.alerts']",
            "federation.sets: has \"AURORA\", but nothing may be shared to AURORA.ioc_sharing",
        ),
        ("[federation]\nshare = ['audit']", "federation.share: is set, but without [nats] nothing leaves"),
        (
            "[nats]\nurl = 'nats://a'\n[federation]\nshare = ['audit', 'audit']",
            "federation.share: names a stream twice",
        ),
        (
            "[nats]\nurl = 'nats://a'\nsubjects = ['aurora.>']\n[federation]\nshare = ['soar', 'audit']",
            "aurora.toml:21: federation.share: has \"audit\", but nothing may be shared to AURORA.audit; add it to nats",
        ),
        (
            "[nats]\nurl = 'nats://a'\n[federation]\nshare = ['soar']\nceiling.subjects = ['aurora.alerts.>']",
            "federation.share: has \"soar\", but nothing may be shared to aurora.soar.<action>",
        ),
        ("[federation]\nshare = ['alerts']", "federation.share[0]: unknown value \"alerts\"; choose one of"),
        ("[federation.in]", "federation.in: is set, but without [nats] nothing comes in"),
        ("[nats]\nurl = 'nats://a'\n[federation.in]\nsubjects = []", "federation.in.subjects: is empty"),
        (
            "[nats]\nurl = 'nats://a'\n[federation.in]\nsubjects = ['a..b']",
            "federation.in.subjects[0]: \"a..b\" is no subject",
        ),
        (
            "[nats]\nurl = 'nats://a'\n[federation.in]\nstreams = ['A', 'A']",
            "federation.in.streams[1]: \"A\" is there twice",
        ),
        (
            "[nats]\nurl = 'nats://a'\n[federation.in]\nstreams = ['a.b']",
            "federation.in.streams[0]: \"a.b\" is no name of a stream",
        ),
        ("[nats]\nurl = 'nats://a'\n[federation.in]\nunnamed = 'a b'", "federation.in.unnamed: \"a b\" is no site id"),
        ("[nats]\nurl = 'nats://a'\n[federation.in]\nmax_age = '1s'", "federation.in.max_age: is out of range"),
        (
            "[nats]\nurl = 'nats://a'\n[federation.in.into]\naudit = 'aurora:audit'",
            "federation.in.into.audit: aurora:audit is a stream that has",
        ),
        (
            "[nats]\nurl = 'nats://a'\n[federation.in.into]\nsoar = 'aurora:soar:actions'",
            "federation.in.into.soar: aurora:soar:actions is a stream",
        ),
        ("[federation.streams]\nsoar = 'aurora:alerts'", "federation.streams.soar: is a stream that has another use"),
        ("[federation.streams]\nsoar = 'aurora:agent:results'", "federation.streams.soar: is the same stream as"),
        (
            "[federation.streams]\ndecisions = 'aurora:soar:actions'",
            "federation.streams.decisions: is one of the streams that are offered",
        ),
        (
            "[federation.streams]\ndecisions = 'aurora:audit'",
            "federation.streams.decisions: is a stream that has another use",
        ),
        ("[federation.streams]\ngroup = 'a b'", "federation.streams.group: \"a b\" is no stream name"),
        ("[federation.streams]\nstale = '1ms'", "federation.streams.stale: is out of range"),
        ("[federation.streams]\nmax_deliveries = 1", "federation.streams.max_deliveries: is out of range"),
        ("[federation.streams]\nmax_in_flight = 0", "federation.streams.max_in_flight: is out of range"),
        ("[federation.streams]\nmax_payload = 0", "federation.streams.max_payload: is out of range"),
        (
            "[federation.ceiling]\nmin_severity = 'hihg'",
            "federation.ceiling.min_severity: unknown value \"hihg\"; choose",
        ),
        (
            "[federation.ceiling]\nmax_tlp = 'white'",
            "federation.ceiling.max_tlp: unknown value \"white\"; choose one of",
        ),
        ("[federation.ceiling]\nkinds = ['alarm']", "federation.ceiling.kinds[0]: unknown value \"alarm\"; choose one"),
        ("[federation.ceiling]\nsubjects = []", "federation.ceiling.subjects: is empty"),
        ("[federation.ceiling]\nsubjects = ['a..b']", "federation.ceiling.subjects[0]: \"a..b\" is no subject"),
        ("[federation.ceiling.never]\nnetworks = ['10.0.0.0/33']", "never.networks[0]: \"10.0.0.0/33\" is no network"),
        ("[federation.ceiling.never]\ndomains = ['a b']", "never.domains[0]: \"a b\" is no name of a host"),
        ("[federation.ceiling.never]\nfields = ['']", "federation.ceiling.never.fields[0]: is empty"),
        (
            "[federation.ceiling.never]\nlists = ['secret', 'gone']",
            "aurora.toml:18: federation.ceiling.never.lists[1]: gone does not exist; ",
        ),
        (
            "[federation.ceiling.never]\nlists = ['empty']",
            "federation.ceiling.never.lists[0]: empty has no entry; name a warning list of MISP",
        ),
        ("[[federation.ceiling.never]]\nmask = true", "federation.ceiling.never: is a list, expected a table; write"),
        ("[ingest]", "aurora.toml:17: ingest.token_file: is missing: without a token anybody could send events"),
        ("[ingest]\ntoken = 'a'\ntoken_file = 'secret'", "aurora.toml:18: ingest.token: is set beside"),
        ("[ingest]\ntoken = 'a b'", "ingest.token: is empty, or holds spaces"),
        ("[ingest]\ntoken = 'a'\nlisten = 'localhost'", "ingest.listen: is not an address with a port; write it like"),
        ("[ingest]\ntoken = 'a'\nlisten = '127.0.0.1:9464'", "aurora.toml:19: ingest.listen: 127.0.0.1:9464 is also"),
        ("[ingest]\ntoken = 'a'\nlisten = '0.0.0.0:9464'", "aurora.toml:19: ingest.listen: 0.0.0.0:9464 is also"),
        ("[ingest]\ntoken = 'a'\nmax_in_flight = 0", "ingest.max_in_flight: is out of range"),
        ("[broadcast]", "aurora.toml:17: broadcast.token_file: is missing: without a token anybody could read events"),
        ("[broadcast]\ntoken = 'a b'", "aurora.toml:18: broadcast.token: is empty, or holds spaces"),
        (
            "[broadcast]\ntoken = 'a'\nlisten = '127.0.0.1:9464'",
            "aurora.toml:19: broadcast.listen: 127.0.0.1:9464 is also the address of `admin.listen`",
        ),
        (
            "[broadcast]\ntoken = 'a'\norigins = ['https://a', '*']",
            "aurora.toml:19: broadcast.origins[1]: \"*\" is no origin of a page",
        ),
        ("[broadcast]\ntoken = 'a'\nalerts = []", "aurora.toml:19: broadcast.alerts: is empty"),
        (
            "[broadcast]\ntoken = 'a'\naudit = ['aurora:alerts']\naudit_group = 'api-ws-alerts'",
            "aurora.toml:20: broadcast.audit_group: is also `broadcast.alerts_group`",
        ),
        ("[broadcast]\ntoken = 'a'\nqueue = 1", "aurora.toml:19: broadcast.queue: is out of range"),
        ("[lag]\nevery = '0s'", "aurora.toml:18: lag.every: is out of range; choose \"1s\" to \"10m\""),
        ("[lag]\nstreams = ['a b']", "aurora.toml:18: lag.streams[0]: \"a b\" is no stream name"),
        ("[raw]\nstream = 'aurora:alerts'", "aurora.toml:18: raw.stream: is also in `redis.streams`"),
        ("[raw]\nstream = 'aurora:outbox'", "raw.stream: is the same stream as `redis.outbox`"),
        ("[raw]\nstream = 'a b'", "raw.stream: \"a b\" is no stream name"),
        ("[raw]\ngroup = ''", "raw.group: \"\" is no stream name"),
        ("[raw]\nconsumer = ''", "raw.consumer: \"\" is no stream name"),
        ("[raw]\nstale = '10ms'", "raw.stale: is out of range; choose \"1s\" to \"24h\""),
        ("[raw]\nmax_deliveries = 1", "raw.max_deliveries: is out of range; choose 2 to 1000"),
        ("[raw]\nmax_in_flight = 0", "raw.max_in_flight: is out of range"),
        ("[raw]\nmax_in_flight_bytes = 1", "raw.max_in_flight_bytes: is out of range"),
        ("[raw]\nmax_payload = 0", "raw.max_payload: is out of range"),
        ("[lanes]\nbatch = 0", "aurora.toml:18: lanes.batch: is out of range; choose 1 to 4096"),
        ("[lanes]\nbatch = 4097", "aurora.toml:18: lanes.batch: is out of range; choose 1 to 4096"),
        ("[lanes]\nbatch = '8'", "lanes.batch: is the string \"8\", expected a whole number, not negative; write the"),
        ("[lanes]\nbatch_bytes = 0", "lanes.batch_bytes: is out of range"),
        ("[lanes]\nlinger = '2h'", "lanes.linger: is out of range"),
        ("[lanes]\nqueue = 0", "lanes.queue: is out of range"),
        ("[guests.normalise]", "aurora.toml:17: guests.normalise: unknown key; did you mean `normalize`?"),
        ("[guests.route.options]\nfrom = 2024-01-01", "aurora.toml:18: guests.route.options.from: is a date"),
        ("[guests.route.options]\nratio = [nan]", "guests.route.options.ratio: is not a finite number"),
        (
            "[guests.route.breaker]\nratio = 0.0",
            "guests.route.breaker.ratio: is out of range; choose more than 0, up to",
        ),
        ("[guests.route.breaker]\nratio = nan", "guests.route.breaker.ratio: is out of range"),
        ("[guests.route.breaker]\nwindow = 15", "guests.route.breaker.window: is out of range; choose 16 to 65536"),
        (
            "[guests.route.breaker]\nwasted = 0.0",
            "guests.route.breaker.wasted: is out of range; choose more than 0, up to",
        ),
        ("[guests.route.breaker]\nwasted = nan", "guests.route.breaker.wasted: is out of range"),
        (
            "[guests.route.breaker]\nwasted_within = '100ms'",
            "guests.route.breaker.wasted_within: is out of range; choose \"1s\" to \"10m\"",
        ),
        ("[guests.federate.breaker]\nwait = '1ms'", "guests.federate.breaker.wait: is out of range"),
        ("[guests.federate.breaker]\nwait = '10m'", "guests.federate.breaker.wait_max: is shorter than `wait`"),
        ("[guests.normalize.state]\nkeys = 0", "guests.normalize.state.keys: is out of range; choose 1 to 10000000"),
        ("[guests.route.state]\nbytes = '1B'", "guests.route.state.bytes: is out of range"),
        ("[guests.federate.state]\nttl = '0s'", "guests.federate.state.ttl: is out of range"),
        ("[guests.route.state]\ntimeout = '1ms'", "guests.route.state.timeout: is out of range; choose \"5ms\" to"),
        ("[guests.normalize.breaker]\nproven = 0", "guests.normalize.breaker.proven: is out of range"),
        (
            "[[guests.route.rule]]\npath = 'n.wasm'\nsource = ['a']",
            "aurora.toml:17: guests.route.rule[0].name: is missing or empty; give the rule a name",
        ),
        (
            "[[guests.route.rule]]\nname = 'A b'\npath = 'n.wasm'\nsource = ['a']",
            "aurora.toml:18: guests.route.rule[0].name: \"A b\" is no name of a rule; choose 1 to 32 of a-z 0-9 _ -",
        ),
        ("[[guests.route.rule]]\nname = 'a'\npath = 'n.wasm'", "guests.route.rule[0]: has no condition"),
        (
            "[[guests.route.rule]]\nname = 'a'\nsource = ['a']",
            "aurora.toml:17: guests.route.rule[0].path: is missing or empty; name a component",
        ),
        (
            "[[guests.route.rule]]\nname = 'a'\npath = 'gone.wasm'\nsource = ['a']",
            "aurora.toml:19: guests.route.rule[0].path: gone.wasm does not exist; ",
        ),
        (
            "[[guests.route.rule]]\nname = 'a'\npath = 'n.wasm'\ntopc = ['a']\nsource = ['b']",
            "aurora.toml:20: guests.route.rule[0].topc: unknown key; did you mean `topic`?",
        ),
        (
            "[[guests.route.rule]]\nname = 'a'\npath = 'n.wasm'\ntopic = ['a/#/b']",
            "aurora.toml:20: guests.route.rule[0].topic[0]: ",
        ),
        (
            "[[guests.route.rule]]\nname = 'a'\npath = 'n.wasm'\nsource = ['a b']",
            "aurora.toml:20: guests.route.rule[0].source[0]: is empty, too long, or holds spaces",
        ),
        (
            "[[guests.route.rule]]\nname = 'a'\npath = 'n.wasm'\nsource = 'a'",
            "aurora.toml:20: guests.route.rule[0].source: is the string \"a\", expected a list",
        ),
        (
            "[[guests.route.rule]]\nname = 'a'\npath = 'n.wasm'\nsource = ['a']\nmemory = '1B'",
            "aurora.toml:21: guests.route.rule[0].memory: is out of range",
        ),
        (
            "[[guests.route.rule]]\nname = 'a'\npath = 'n.wasm'\nsource = ['a']\n[[guests.route.rule.rule]]\nname = 'b'",
            "guests.route.rule[0].rule: unknown key; ",
        ),
        (
            "[[guests.route.rule]]\nname = 'a'\npath = 'n.wasm'\nsource = ['a']\n\
             [[guests.route.rule]]\nname = 'a'\npath = 'n.wasm'\nformat = ['a']",
            "aurora.toml:22: guests.route.rule[1].name: names another rule of the stage as well",
        ),
        ("[guests.route.probation]\nfaults = 1.5", "guests.route.probation.faults: is out of range; choose 0 to 1"),
        ("[guests.route.probation]\nslower = nan", "guests.route.probation.slower: is out of range"),
        ("[guests.federate.probation]\ntime = '0s'", "guests.federate.probation.time: is out of range"),
        (
            "[admin]\ntoken = 'a'\ntoken_file = 'secret'",
            "aurora.toml:18: admin.token: is set beside `admin.token_file`",
        ),
        ("[admin]\ntoken = ''", "admin.token: is empty, or holds spaces"),
        ("[log]\nlevel = 'wran'", "aurora.toml:18: log.level: \"wran\" is no level; did you mean \"warn\"?"),
        ("[log]\nlevel = 'aurora=noisy=x'", "log.level: \"aurora=noisy=x\" is no log filter"),
        ("[log]\nformat = 'yaml'", "log.format: unknown value \"yaml\"; choose one of \"text\", \"json\""),
        ("[shutdown]\ngrace = '0s'", "aurora.toml:18: shutdown.grace: is out of range"),
        ("[admin]\nlisten = 9464", "admin.listen: is the integer 9464, expected an address with a port; write it"),
        ("[[log]]\nformat = 'json'", "aurora.toml:17: log: is a list, expected a table; write [log], with single"),
        ("[guests]\ncache = []", "aurora.toml:18: guests.cache: is a list, expected a string"),
        ("[[mqqt]]", "aurora.toml:17: mqqt: unknown key; did you mean `mqtt`?"),
        ("subscriptions = [['a', 1]]", "aurora.toml:17: mqtt.subscriptions[0]: is a list, expected a table; "),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].contains(expected), "{text}\n   found {}\nexpected {expected}", found[0]);
    }
}

#[test]
fn the_plain_step_goes_with_nothing_that_needs_the_atomic_one() {
    for (section, expected) in [
        ("[raw]", "raw: is set, but `redis.step` is \"plain\", which acknowledges no entries; leave `redis.step` out"),
        (
            "[spool]\npath = 'spool'",
            "spool: is set, but `redis.step` is \"plain\", whose batches cannot be kept on disk",
        ),
        (
            "[nats]\nurl = 'nats://a'\n[federation]\nshare = ['audit']",
            "federation.share: is set, but `redis.step` is \"plain\", which acknowledges no entries",
        ),
    ] {
        let load = |step| Site::new().load(&format!("{SOUND}{section}"), &[("AURORA_REDIS__STEP", step)], Purpose::Run);
        assert!(load("atomic").is_ok());
        let found = load("plain").unwrap_err();
        assert_eq!(found.len(), 1, "{section}: {found:#?}");
        assert!(found[0].contains(expected), "{}", found[0]);
    }
}

#[test]
fn a_rule_has_the_keys_of_a_guest_beside_its_own_and_paths_of_the_files_folder() {
    let rule = "[[guests.normalize.rule]]\nname = 'acme'\npath = 'n.wasm'\ntopic = ['acme/#']\nformat = ['c*']\n\
                deadline = '7ms'\noptions = { depth = 3 }\n[guests.normalize.rule.breaker]\nwindow = 99\n";
    let site = Site::new();
    let config = site.load(&format!("{SOUND}{rule}"), &[], Purpose::Run).unwrap();
    let rule = &config.guests.normalize.rules[0];
    assert_eq!(
        (rule.name.as_str(), &rule.topic[..], &rule.format[..]),
        ("acme", &["acme/#".to_owned()][..], &["c*".to_owned()][..])
    );
    assert_eq!((rule.guest.path.clone(), rule.guest.deadline.as_millis()), (site.path().join("n.wasm"), 7));
    assert_eq!((rule.guest.breaker.window, rule.guest.options["depth"].as_integer()), (99, Some(3)));
    let slots: Vec<_> = config.guests.all().map(|(slot, _)| slot.to_string()).collect();
    assert_eq!(slots, ["normalize", "normalize/acme", "route", "federate"]);
}

#[test]
fn rejects_each_partial_mutual_tls_setting_and_names_what_is_missing() {
    for (set, expected) in [
        (&["cert"][..], "mqtt.cert: mutual TLS is set in part: `mqtt.cert` without `mqtt.ca` and `mqtt.key`; set"),
        (&["key"], "mqtt.key: mutual TLS is set in part: `mqtt.key` without `mqtt.ca` and `mqtt.cert`; set"),
        (&["cert", "key"], "mqtt.cert: mutual TLS is set in part: `mqtt.cert` and `mqtt.key` without `mqtt.ca`; set"),
        (&["ca", "cert"], "mqtt.cert: mutual TLS is set in part: `mqtt.ca` and `mqtt.cert` without `mqtt.key`; set"),
        (&["ca", "key"], "mqtt.key: mutual TLS is set in part: `mqtt.ca` and `mqtt.key` without `mqtt.cert`; set"),
    ] {
        let text = SOUND.replace("mqtt://", "mqtts://");
        let keys: Vec<_> = set.iter().map(|key| format!("{key} = '{key}.pem'\n")).collect();
        let found = Site::new().load(&(text + &keys.concat()), &[], Purpose::Run).unwrap_err();
        assert_eq!(found.len(), 1, "{set:?}: {found:#?}");
        assert!(found[0].contains(expected), "{}", found[0]);
    }
    for set in ["ca = 'ca.pem'", "ca = 'ca.pem'\ncert = 'cert.pem'\nkey = 'key.pem'"] {
        let found = Site::new().load(&(SOUND.replace("mqtt://", "mqtts://") + set), &[], Purpose::Run);
        assert!(found.is_ok(), "{set}: {found:?}");
    }
}

#[test]
fn looks_into_certificates_keys_and_components() {
    let tls = |ca: &str, cert: &str, key: &str| {
        let text = SOUND.replace("mqtt://", "mqtts://") + &format!("ca = '{ca}'\ncert = '{cert}'\nkey = '{key}'");
        Site::new().load(&text, &[], Purpose::Run).unwrap_err()
    };
    for (found, expected) in [
        (tls("secret", "cert.pem", "key.pem"), "aurora.toml:17: mqtt.ca: secret holds no PEM certificate"),
        (tls("ca.pem", "key.pem", "key.pem"), "mqtt.cert: key.pem holds a private key and no certificate"),
        (tls("ca.pem", "cert.pem", "cert.pem"), "mqtt.key: cert.pem holds a certificate and no private key"),
        (tls("ca.pem", "cert.pem", "gone"), "aurora.toml:19: mqtt.key: gone does not exist"),
        (tls("ca.pem", "cert.pem", "."), "is not a file; name a file"),
        (tls("ca.pem", "cert.pem", "other.pem"), "mqtt.key: belongs to another certificate than `cert`"),
    ] {
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains(expected), "{}", found[0]);
    }
    for (guest, expected) in [
        ("module.wasm", "aurora.toml:8: guests.normalize.path: module.wasm is a core module, not a component"),
        ("secret", "guests.normalize.path: secret is not a WebAssembly component"),
        ("gone", "guests.normalize.path: gone does not exist"),
    ] {
        let found = Site::new().load(&SOUND.replacen("n.wasm", guest, 1), &[], Purpose::Run).unwrap_err();
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains(expected), "{}", found[0]);
    }
}

#[test]
fn a_component_that_the_last_good_guest_may_replace_is_left_to_the_loader() {
    let load = |text: &str, purpose| {
        Site::new().load(&SOUND.replace("n.wasm", "gone").replace("[guests.r", text), &[], purpose)
    };
    let at = |found: Vec<String>| {
        found.iter().filter_map(|one| one.split(": ").nth(1)).map(str::to_owned).collect::<Vec<_>>()
    };
    let all = ["guests.normalize.path", "guests.route.path", "guests.federate.path"];
    assert_eq!(at(load("[guests.r", Purpose::Run).unwrap_err()), all);
    let cache = "[guests]\ncache = 'cache'\n[guests.r";
    assert_eq!(at(load(cache, Purpose::Run).unwrap_err()), [all[2]]);
    assert_eq!(at(load(cache, Purpose::Pipe).unwrap_err()), all);
    let set = "[guests]\ncache = 'cache'\n[guests.route.breaker]\nlast_good = false\n\
               [guests.federate.breaker]\nlast_good = true\n[guests.r";
    assert_eq!(at(load(set, Purpose::Run).unwrap_err()), [all[1]]);
}

#[test]
fn tls_files_beside_an_unencrypted_url_are_refused() {
    let found = problems("ca = 'ca.pem'");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("mqtt.ca: is set, but `mqtt.url` says mqtt://"), "{}", found[0]);
}

#[test]
fn lists_all_problems_at_once_in_the_order_of_the_file() {
    let text = "[site]\nid = 'a b'\n[lanes]\nbatch = 0\nqueue = 'x'\nbacth = 1\n[mqtt]\nurl = 'tcp://h'\nca = 7\n\
                cert = 'cert.pem'\n";
    let site = Site::new();
    let found = site.load(text, &[("AURORA_NATS__URL", "ftp://h")], Purpose::Run).unwrap_err();
    let places: Vec<_> = found.iter().map(|line| line.splitn(3, ": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "aurora.toml guests.federate.path",
        "aurora.toml guests.normalize.path",
        "aurora.toml guests.route.path",
        "aurora.toml redis.url",
        "aurora.toml:2 site.id",
        "aurora.toml:4 lanes.batch",
        "aurora.toml:5 lanes.queue",
        "aurora.toml:6 lanes.bacth",
        "aurora.toml:8 mqtt.url",
        "aurora.toml:9 mqtt.ca",
        "aurora.toml:10 mqtt.cert",
        "AURORA_NATS__URL nats.url",
    ];
    assert_eq!(places, expected, "{found:#?}");
}

#[test]
fn a_daemon_needs_a_site_a_source_redis_and_guests_and_a_pipe_needs_nothing() {
    let site = Site::new();
    let found = site.load("", &[], Purpose::Run).unwrap_err();
    let keys: Vec<_> = found.iter().map(|line| line.split(": ").nth(1).unwrap()).collect();
    let guests = ["guests.federate.path", "guests.normalize.path", "guests.route.path"];
    assert_eq!(keys, [&guests[..], &["mqtt.url", "redis.url", "site.id"]].concat());
    let others = ["[raw]", "[ingest]\ntoken = 't'"];
    for other in others {
        let sound = SOUND.replace("[mqtt]\nurl = \"mqtt://127.0.0.1\"\n", other);
        assert!(!sound.contains("mqtt://") && site.load(&sound, &[], Purpose::Run).is_ok(), "{other}");
    }
    assert!(site.load("", &[], Purpose::Pipe).is_ok());
    assert!(Config::load(None, std::iter::empty(), Purpose::Pipe).is_ok());
    // Its guests are its business, the broker's secrets are not.
    let tls = "[mqtt]\nurl = 'mqtts://h'\nca = 'gone'\n";
    assert!(site.load(tls, &[], Purpose::Pipe).is_ok());
    assert_eq!(site.load("[guests.route]\npath = 'gone'", &[], Purpose::Pipe).unwrap_err().len(), 1);
}

#[test]
fn the_environment_overrides_any_key_and_can_create_a_section() {
    let site = Site::new();
    let variables = [
        ("AURORA_SITE__ID", "42"),
        ("AURORA_LANES__BATCH", "64"),
        ("AURORA_LANES__LINGER", "5ms"),
        ("AURORA_MQTT__MAX_PAYLOAD", "2MiB"),
        ("AURORA_MQTT__VERSION", "5"),
        ("AURORA_MQTT__SUBSCRIPTIONS", "[{ topic = \"x/#\", qos = 2 }]"),
        ("AURORA_NATS__URL", "nats://hub"),
        ("AURORA_NATS__SUBJECTS", "[\"a.>\", \"b\"]"),
        ("AURORA_REDIS__STREAMS", "{ \"my:stream\" = 7 }"),
        ("AURORA_GUESTS__ROUTE__OPTIONS__TELEMETRY_STREAM", "my:stream"),
        ("AURORA_GUESTS__ROUTE__OPTIONS__LIMIT", "12"),
        ("AURORA_LOG", "somebody else's"),
        ("PATH", "/bin"),
    ];
    let config = site.load(SOUND, &variables, Purpose::Run).unwrap();
    assert_eq!((config.site.id.as_str(), config.lanes.batch, config.lanes.linger.as_millis()), ("42", 64, 5));
    let mqtt = config.mqtt.unwrap();
    assert_eq!((mqtt.url.as_str(), mqtt.max_payload.as_u64()), ("mqtt://127.0.0.1", 2 << 20));
    assert_eq!((mqtt.subscriptions[0].topic.as_str(), mqtt.subscriptions[0].qos), ("x/#", 2));
    assert_eq!(config.nats.unwrap().subjects, ["a.>", "b"]);
    let streams = config.redis.unwrap().streams;
    assert_eq!((streams["my:stream"], streams["aurora:alerts"]), (7, 50_000));
    let options = config.guests.route.options;
    assert_eq!(options["telemetry_stream"].as_str(), Some("my:stream"));
    assert_eq!(options["limit"].as_integer(), Some(12));
}

#[test]
fn a_bad_variable_is_named_itself() {
    for (variable, value, expected) in [
        ("AURORA_MQTT__ULR", "x", "AURORA_MQTT__ULR: mqtt.ulr: unknown key; did you mean AURORA_MQTT__URL?"),
        ("AURORA_MQQT__URL", "x", "mqqt.url: unknown key; did you mean AURORA_MQTT__URL?"),
        ("AURORA_FOO__BAR", "x", "AURORA_FOO__BAR: foo.bar: unknown key; known here: site, log, mqtt"),
        ("AURORA_MQTT__", "x", "is no key; write it as AURORA_<SECTION>__<KEY>"),
        ("AURORA_LANES__BATCH", "many", "lanes.batch: is the string \"many\", expected a whole number"),
        ("AURORA_LANES__BATCH", "5000", "AURORA_LANES__BATCH: lanes.batch: is out of range"),
        ("AURORA_LANES__BATCH", "", "AURORA_LANES__BATCH: lanes.batch: is the string \"\", expected a whole number"),
        ("AURORA_SHUTDOWN__GRACE", "10", "shutdown.grace: is the integer 10, expected a duration"),
        (
            "AURORA_MQTT__URL",
            "http://u:secret@h",
            "AURORA_MQTT__URL: mqtt.url: \"http://u:***@h\" has the wrong scheme",
        ),
        ("AURORA_REDIS__REPLICAS", "1", "redis.replicas: is set, but `redis.durability` is \"memory\""),
        ("AURORA_MQTT__CA", "/nonexistent", "AURORA_MQTT__CA: mqtt.ca: /nonexistent does not exist"),
        ("AURORA_NATS__SUBJECTS", "a.>", "nats.subjects: is the string \"a.>\", expected a list"),
        ("AURORA_GUESTS__ROUTE", "{ path = \"x\" }", "is a section, not a key; set its keys one by one"),
        ("AURORA_MQTT__CLIENT_ID", "a\u{fffd}", "mqtt.client_id: is not UTF-8"),
    ] {
        let found = problems_with(&[(variable, value)]);
        assert!(found.iter().any(|line| line.starts_with(variable) && line.contains(expected)), "{found:#?}");
    }
}

#[test]
fn a_cluster_may_have_several_urls_and_no_two_streams_of_one_key() {
    let load = |redis: &str| {
        let text = SOUND.replace("[redis]\nurl = \"redis://127.0.0.1\"", &format!("[redis]\n{redis}"));
        Site::new().load(&text, &[], Purpose::Run)
    };
    for (redis, expected) in [
        ("url = 'redis://a,redis://b'", "aurora.toml:5: redis.url: names several nodes, which only a cluster has; set"),
        ("url = 'redis://a,http://b'\ncluster = true", "redis.url: \"http://b\" has the wrong scheme"),
        ("url = 'redis://a/1'\ncluster = true", "redis.url: names a database, but a cluster has only 0"),
        ("url = 'redis://a'\nhash_tag = ''", "aurora.toml:6: redis.hash_tag: \"\" is no hash tag"),
        ("url = 'redis://a'\nhash_tag = '{a}'", "redis.hash_tag: \"{a}\" is no hash tag"),
        (
            "url = 'redis://a'\ncluster = true\nstreams = { alerts = 1 }",
            "redis.streams.\"aurora:alerts\": is the same key as \"alerts\": {aurora}:alerts",
        ),
        ("url = 'redis://a'\ncluster = true\noutbox = 'alerts'", "redis.outbox: is the same key as"),
    ] {
        let found = load(redis).err().unwrap_or_default();
        assert!(found.len() == 1 && found[0].contains(expected), "{redis}: {found:?}");
    }
    let config = load("url = 'rediss://u:p@a,rediss://u:p@b:1/0'\ncluster = true").unwrap();
    assert_eq!(config.redis.unwrap().tag(), Some("aurora"));
}

#[test]
fn the_environment_puts_right_what_the_file_lacks_but_does_not_excuse_what_it_gets_wrong() {
    let site = Site::new();
    let text = SOUND.replace("[redis]\nurl = \"redis://127.0.0.1\"", "");
    assert!(site.load(&text, &[("AURORA_REDIS__URL", "redis://h")], Purpose::Run).is_ok());
    let found = problems_with(&[("AURORA_REDIS__URL", "redis://h/x")]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("AURORA_REDIS__URL: redis.url: names a database"), "{found:?}");
    let text = format!("{SOUND}[lanes]\nbatch = 'x'");
    let found = site.load(&text, &[("AURORA_LANES__BATCH", "0")], Purpose::Run).unwrap_err();
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn paths_in_the_file_start_at_its_folder_and_those_of_the_environment_do_not() {
    let site = Site::new();
    let outside = site.path().join("n.wasm");
    let variables = [("AURORA_GUESTS__ROUTE__PATH", outside.to_str().unwrap()), ("AURORA_GUESTS__CACHE", "cache")];
    let text = format!("{SOUND}[spool]\npath = 'spool'\n");
    let config = site.load(&text, &variables, Purpose::Run).unwrap();
    assert_eq!(config.spool.unwrap().path, site.path().join("spool"));
    assert_eq!(config.guests.normalize.path, outside);
    assert_eq!(config.guests.route.path, outside);
    assert_eq!(config.guests.cache.as_deref(), Some(Path::new("cache")));
}

#[test]
fn a_syntax_error_is_one_problem_with_its_place() {
    let found = Site::new().load("[site]\nid = plant\n[redis\n", &[], Purpose::Run).unwrap_err();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("aurora.toml:2: site.id: not valid TOML at column 6: "), "{}", found[0]);
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    let found = Config::load(Some(Path::new("/nonexistent.toml")), std::iter::empty(), Purpose::Run).unwrap_err();
    assert_eq!(found.len(), 1);
    assert!(found.to_string().starts_with("/nonexistent.toml: cannot be read: "), "{found}");
    let site = Site::new();
    site.write("x.toml", b"[site]\nid = '\xff'\n");
    let found = Config::load(Some(&site.path().join("x.toml")), std::iter::empty(), Purpose::Run).unwrap_err();
    assert!(found.to_string().contains("is not UTF-8 on line 2"), "{found}");
}

#[test]
fn neither_debug_nor_display_shows_a_secret() {
    let text = SOUND.replace("redis://", "redis://u:hunter2@")
        + "[nats]\nurl = 'nats://hunter2@h'\n[ingest]\ntoken = 'hunter2'\n";
    let config = Site::new().load(&text, &[], Purpose::Run).unwrap();
    let shown = format!("{config:?} {config:#?} {config}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("redis://u:***@127.0.0.1"), "{shown}");
}

const EXAMPLE: &str = include_str!("../../../deploy/aurora.toml");
const README: &str = include_str!("../../../deploy/README.md");

/// Loads a form of the example with guests and secrets that exist.
fn load_example(text: &str, secrets: &[&'static str]) -> Config {
    let site = Site::new();
    let guest = site.path().join("n.wasm");
    let stages = ["NORMALIZE", "ROUTE", "FEDERATE"].map(|stage| format!("AURORA_GUESTS__{stage}__PATH"));
    let mut variables: Vec<_> = stages.iter().map(|name| (name.as_str(), guest.to_str().unwrap())).collect();
    let secret_path = site.path().join("secret");
    variables.extend(secrets.iter().map(|&secret| (secret, secret_path.to_str().unwrap())));
    let mut config = site.load(text, &variables, Purpose::Run).unwrap();
    for guest in [&mut config.guests.normalize, &mut config.guests.route, &mut config.guests.federate] {
        guest.path = "n.wasm".into();
    }
    config
}

#[test]
fn the_example_runs_and_shows_every_key_with_its_default() {
    let minimal = load_example(EXAMPLE, &[]);
    let secrets = ["AURORA_INGEST__TOKEN_FILE", "AURORA_BROADCAST__TOKEN_FILE"];
    let full = load_example(&example_with(|line| !line.contains("# no default")), &secrets);
    let (ingest, viewers) = (full.ingest.clone().unwrap(), full.broadcast.clone().unwrap());
    let (inbound, mut redis) = (federation::inbound::Config::default(), minimal.redis.clone().unwrap());
    inbound.complete(&mut redis);
    let expected = Config {
        nats: Some(jetstream::Config { url: "nats://127.0.0.1:4222".to_owned(), ..jetstream::Config::default() }),
        ingest: Some(Ingest { token_file: ingest.token_file, ..Ingest::default() }),
        spool: Some(spool::Config { path: "/var/lib/aurora/spool".into(), ..spool::Config::default() }),
        raw: Some(raw::Config::default()),
        attestation: Some(attestation::Config::default()),
        intel: Some(intel::Config::default()),
        tasks: Some(tasks::Config::default()),
        redis: Some(redis),
        federation: federation::Config { inbound: Some(inbound), ..minimal.federation.clone() },
        broadcast: Some(broadcast::Config { token_file: viewers.token_file, ..broadcast::Config::default() }),
        ..minimal
    };
    assert_eq!(format!("{full:#?}"), format!("{expected:#?}"));

    let all = example_with(|_| true);
    let documented = DeTable::parse(&all).unwrap();
    let outline = Outline::of(&all, documented.get_ref());
    for (section, keys) in known_keys() {
        for key in keys {
            let dotted = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
            assert!(outline.sets(&dotted), "deploy/aurora.toml lacks {dotted}");
            let shown = [format!("| `{key}` |"), format!("`{key}` |"), format!("| `{key}`,"), format!("[{dotted}]")];
            assert!(shown.iter().any(|form| README.contains(form)), "deploy/README.md lacks {dotted}");
        }
    }
}

/// The example with those commented-out settings that are wanted. `#key = value` is one, `# text` is prose.
fn example_with(wanted: impl Fn(&str) -> bool) -> String {
    let taken = |line: &'static str| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| !c.is_whitespace()) && wanted(line) => setting,
        Some(_) => "",
        None => line,
    };
    EXAMPLE.lines().flat_map(|line| [taken(line), "\n"]).collect()
}

#[test]
fn a_judge_of_what_comes_in_is_a_guest_like_others_and_needs_something_that_comes_in() {
    let with = |more: &str| Site::new().load(&format!("{SOUND}{more}"), &[], Purpose::Run);
    let nats = "[nats]\nurl = 'nats://h'\n";
    let judge = "[guests.inbound]\npath = 'n.wasm'\n";
    let config = with(&format!("{nats}[federation.in]\n{judge}")).unwrap();
    let stages: Vec<_> = config.guests.stages().into_iter().map(|(stage, _)| stage.as_str()).collect();
    assert_eq!(stages, ["normalize", "route", "federate", "inbound"]);
    assert!(config.guests.inbound.is_some_and(|guest| guest.path.ends_with("n.wasm")));
    let found = with(&format!("{nats}{judge}")).unwrap_err().join("\n");
    assert!(found.contains("guests.inbound: is set, but without [federation.in]"), "{found}");
    let found = with(&format!("{nats}[federation.in]\n[guests.inbound]\ndeadline = '0ms'")).unwrap_err().join("\n");
    assert!(found.contains("guests.inbound.path: is missing"), "{found}");
    assert!(found.contains("guests.inbound.deadline: is out of range"), "{found}");
}

/// The keys of every section, as the deserializer knows them.
fn known_keys() -> Vec<(&'static str, Vec<String>)> {
    let sections = [
        "",
        "site",
        "log",
        "mqtt",
        "mqtt.subscriptions[0]",
        "ingest",
        "raw",
        "lanes",
        "guests",
        "guests.registry",
        "guests.compile",
        "guests.normalize",
        "guests.route",
        "guests.federate",
        "guests.inbound",
        "guests.normalize.breaker",
        "guests.route.breaker",
        "guests.federate.breaker",
        "guests.inbound.breaker",
        "guests.normalize.state",
        "guests.route.state",
        "guests.federate.state",
        "guests.inbound.state",
        "guests.normalize.rule[0]",
        "guests.normalize.probation",
        "guests.route.probation",
        "guests.federate.probation",
        "guests.inbound.probation",
        "attestation",
        "redis",
        "spool",
        "nats",
        "federation",
        "federation.streams",
        "federation.in",
        "federation.in.into",
        "federation.ceiling",
        "federation.ceiling.never",
        "intel",
        "intel.match",
        "intel.match.rule[0]",
        "tasks",
        "tasks.agents.triage",
        "broadcast",
        "lag",
        "admin",
        "shutdown",
    ];
    let of = |section: &str| -> Vec<String> {
        let text = match section {
            "" => "zzzzzzzzz = 1".to_owned(),
            "mqtt.subscriptions[0]" => "[[mqtt.subscriptions]]\nzzzzzzzzz = 1".to_owned(),
            "intel.match.rule[0]" => "[[intel.match.rule]]\nzzzzzzzzz = 1".to_owned(),
            "guests.normalize.rule[0]" => "[[guests.normalize.rule]]\nzzzzzzzzz = 1".to_owned(),
            section => format!("[{section}]\nzzzzzzzzz = 1"),
        };
        let error = reading::fit(DeTable::parse(&text).unwrap().into_inner()).unwrap_err();
        let wording = wording::explain(error.message(), section);
        match wording.remedy.strip_prefix("known here: ") {
            Some(known) => known.split(", ").map(str::to_owned).collect(),
            None => panic!("no list of known keys in {wording:?}"),
        }
    };
    let all = sections.into_iter().map(|section| (section, of(section)));
    // A rule has the keys of its stage, too, which are shown there.
    let own = |(section, keys): (&'static str, Vec<String>)| match section.split_once(".rule") {
        Some((stage, _)) => {
            let shared = of(stage);
            (section, keys.into_iter().filter(|key| !shared.contains(key) || key == "path").collect())
        }
        None => (section, keys),
    };
    all.map(own).collect()
}
