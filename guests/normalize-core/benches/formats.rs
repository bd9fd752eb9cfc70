//! Nanoseconds an event of each format, natively, in batches of 256: `cargo bench -p normalize-core`.

use std::{hint::black_box, time::Instant};

use aurora_guest::{Context, RawEvents};
use normalize_core::{Options, normalize};

const BATCH: usize = 256;

const LINES: [(&str, &str); 5] = [
    (
        "json, Suricata alert",
        r#"{"timestamp":"2024-03-05T12:34:56.123456+0000","flow_id":52710912,"in_iface":"eth0","event_type":"alert","src_ip":"198.51.100.7","src_port":49678,"dest_ip":"203.0.113.9","dest_port":22,"proto":"TCP","alert":{"action":"allowed","gid":1,"signature_id":2001219,"rev":19,"signature":"ET SCAN Potential SSH Scan","category":"Attempted Information Leak","severity":2}}"#,
    ),
    (
        "json, device alert",
        r#"{"title":"Valve opened outside its window","severity":"high","sensor":"valve_3","value":1,"timestamp":"2024-03-05T12:34:56Z","message":"seen from 192.0.2.4 by http://plant.example.com/valve/3"}"#,
    ),
    (
        "cef",
        r"CEF:0|Trend Micro|Deep Security Agent|9.6|4000000|Eicar_test_file|6|cn1=1 cn1Label=Host ID dvchost=host-abc12 cn2=205 cn2Label=Quarantine File Size filePath=C:\Users\trend\Desktop\eicar.exe act=Delete msg=Realtime src=192.0.2.150 dst=198.51.100.147 TrendMicroDsFileMD5=44D88612FEA8A8F36DE82E1278ABB02F",
    ),
    (
        "leef",
        "LEEF:2.0|Vendor|Product|Version|EventID|^|src=192.0.2.0^dst=172.50.123.1^sev=5^cat=anomaly^srcPort=81^dstPort=21^usrName=joe.black^devTime=Mar 05 2024 12:34:56^devTimeFormat=MMM dd yyyy HH:mm:ss",
    ),
    (
        "syslog, sshd",
        "<38>Mar  5 12:34:56 bastion sshd[4242]: Failed password for invalid user admin from 203.0.113.77 port 51234 ssh2",
    ),
];

fn main() {
    let options = Options::default();
    for (name, line) in LINES {
        let context = Context {
            source: "bench".to_owned(),
            format: "auto".to_owned(),
            topic: None,
            device_id: None,
            channel: None,
            source_ip: None,
        };
        let batch = RawEvents::of(context, 1_709_642_096_000, std::iter::repeat_n(line.as_bytes(), BATCH));
        let mut best = f64::INFINITY;
        for _ in 0..200 {
            let start = Instant::now();
            black_box(normalize(black_box(&batch), &options));
            best = best.min(start.elapsed().as_secs_f64());
        }
        let each = best * 1e9 / BATCH as f64;
        println!("{name:22} {:4} bytes {each:7.0} ns an event, {:8.0} events/s", line.len(), 1e9 / each);
    }
}
