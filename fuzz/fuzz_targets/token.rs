//! A token either is refused or prints to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing_core::seal::Token;

fuzz_target!(|text: &str| {
    if let Ok(token) = text.parse::<Token>() {
        assert_eq!(token.to_string(), text);
    }
});
