use super::*;

#[test]
fn placeholder_is_replaced() {
    assert_eq!(apply("a: 1\n", 0, &[Edit::Set { path: vec!["a".into()], value: 2.into() }]).unwrap(), "a: 2\n");
}
