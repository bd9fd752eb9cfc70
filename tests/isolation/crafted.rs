//! Routers put together by hand: what no compiler of an honest language would make of one.

use anyhow::Result;
use harness::workspace;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A router whose memory has `pages` at first, whose start does `start`, and whose call does `call` and gives back where
/// its answer lies. Both are WebAssembly text.
pub fn router(pages: u64, start: &str, call: &str) -> Result<Vec<u8>> {
    let text = format!(
        r#"(module
             (memory (export "memory") {pages})
             (global $free (mut i32) (i32.const 1024))
             (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
               (local $at i32)
               (local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
               (global.set $free (i32.add (local.get $at) (local.get 3)))
               (local.get $at))
             (func (export "_initialize") {start})
             (func (export "aurora:router/route@0.1.0#route") (param i32) (result i32) {call}))"#
    );
    let mut module = wat::parse_str(text)?;
    let mut resolve = Resolve::default();
    resolve.push_dir(workspace().join("wit/event"))?;
    let (package, _) = resolve.push_dir(workspace().join("wit/router"))?;
    let world = resolve.select_world(&[package], Some("router"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.validate(true).encode()
}

/// A call that answers with success, and in it says that the names of streams are `count`, from `at` on.
pub fn streams(at: u32, count: u32) -> String {
    format!(
        "(i32.store8 (i32.const 0) (i32.const 0))
         (i32.store (i32.const 4) (i32.const {at}))
         (i32.store (i32.const 8) (i32.const {count}))
         (i32.const 0)"
    )
}
