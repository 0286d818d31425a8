//! AlertReceivers.

use super::{SEALED, SLACK, found, injection};

pub(super) const TEAM: &str = "---
apiVersion: waxwing.dev/v1alpha1
kind: AlertReceiver
metadata: {name: on-call, namespace: shop, labels: {team: shop}}
spec:
  injection: {name: main, namespace: ops}
  receiver:
    slack_configs:
    - channel: '#shop'
      api_url: {$secret: {name: chat, key: slack}}
";

pub(super) fn including(include: &str) -> String {
    injection(SLACK).replacen("  target:", &format!("  include: [{include}]\n  target:"), 1) + SEALED
}

#[test]
fn receivers_of_teams_are_taken_in_as_the_operator_does() {
    let sealed = SEALED.replace("namespace: ops", "namespace: shop");
    let namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {tier: gold}}\n";
    let team = TEAM.to_owned() + &sealed + namespace;
    for (include, is_used) in [
        ("{namespaceSelector: {}}", true),
        ("{}", false),
        ("{namespaceSelector: {matchLabels: {tier: gold}}}", true),
        ("{namespaceSelector: {matchLabels: {tier: silver}}}", false),
        ("{namespaceSelector: {}, receiverSelector: {matchLabels: {team: web}}}", false),
        ("{namespaceSelector: {}, receiverSelector: {matchLabels: {team: shop}}}", true),
    ] {
        let found = found(&(including(include) + &team), &[]);
        let unused = if is_used { vec![] } else { vec!["24 receiver-unused spec.injection".to_owned()] };
        assert_eq!(found, unused, "{include}");
    }
}

#[test]
fn the_references_of_a_team_mean_its_own_namespace() {
    assert_eq!(
        found(&(including("{namespaceSelector: {}}") + TEAM), &[]),
        ["28 reference-other-namespace spec.receiver.slack_configs[0].api_url"]
    );
}

#[test]
fn a_team_that_would_be_left_out_is_told_where() {
    let all = including("{namespaceSelector: {}}");
    let sealed = SEALED.replace("namespace: ops", "namespace: shop");
    let wrong = TEAM.replace("channel", "chanel") + &sealed;
    assert_eq!(
        found(&(all.clone() + &wrong), &[]),
        ["27 receiver-refused spec.receiver.slack_configs[0].chanel"]
    );
    let literal = TEAM.replace("{$secret: {name: chat, key: slack}}", "https://hooks.example.com/Qz7v");
    assert_eq!(
        found(&(all.clone() + &literal), &[]),
        ["28 literal-credential spec.receiver.slack_configs[0].api_url"]
    );
    assert_eq!(
        found(&(TEAM.to_owned() + &sealed), &[]),
        ["6 receiver-unused spec.injection"],
        "its injection is not here"
    );
    // Route tests are the platform's: what teams add is no matter of theirs.
    let test =
        "  routeTests:\n  - {name: shop, labels: {namespace: shop}, expect: {receivers: [root]}}\n  target:";
    let tested = all.replacen("  target:", test, 1) + TEAM + &sealed;
    assert_eq!(found(&tested, &[]), [""; 0]);
    assert_eq!(
        found(&tested.replace("[root]", "[root, shop/on-call]"), &[]),
        ["14 route-test-failed spec.routeTests[0]"]
    );
}
