//! What a team may not have Alertmanager do for it.

use serde_json::{Value, json};

use super::{hook, refuses, takes};

/// K21. Guard: `trust::check`. Alertmanager would send its own files, and those of others, to the team's server.
#[test]
fn nothing_is_read_from_the_pod_of_alertmanager() {
    let url = "https://evil.example.com";
    let path = "/etc/secret";
    let http = |http: Value| json!({"webhook_configs": [{"url": url, "http_config": http}]});
    for (receiver, field) in [
        (json!({"webhook_configs": [{"url_file": path}]}), "webhook_configs[0].url_file"),
        (
            json!({"webhook_configs": [{"url_file": {"$secret": {"name": "a", "key": "b"}}}]}),
            "webhook_configs[0].url_file",
        ),
        (json!({"slack_configs": [{"api_url_file": path}]}), "slack_configs[0].api_url_file"),
        (
            json!({"opsgenie_configs": [{"api_url": url, "api_key_file": path}]}),
            "opsgenie_configs[0].api_key_file",
        ),
        (
            http(json!({"basic_auth": {"username": "x", "password_file": path}})),
            "http_config.basic_auth.password_file",
        ),
        (
            http(json!({"authorization": {"credentials_file": path}})),
            "http_config.authorization.credentials_file",
        ),
        (http(json!({"bearer_token_file": path})), "http_config.bearer_token_file"),
        (
            http(json!({"oauth2": {"client_id": "x", "token_url": url, "client_secret_file": path}})),
            "oauth2.client_secret_file",
        ),
        (http(json!({"tls_config": {"ca_file": path}})), "tls_config.ca_file"),
        (http(json!({"tls_config": {"cert_file": path, "key_file": path}})), "tls_config.cert_file"),
        (
            http(json!({"http_headers": {"X-Evil": {"files": [path]}}})),
            "http_config.http_headers.X-Evil.files",
        ),
        (
            json!({"email_configs": [{"to": "a@example.com", "smarthost": "a:25", "from": "b@example.com", "tls_config": {"key_file": path}}]}),
            "tls_config.key_file",
        ),
        (json!({"telegram_configs": [{"bot_token": "x", "chat_id_file": path}]}), "chat_id_file"),
    ] {
        refuses(json!({}), receiver, json!([]), field);
    }
    // A name that is anybody's to choose is no field.
    takes(
        json!({}),
        json!({"pagerduty_configs": [{"routing_key": "x", "details": {"log_file": "/var/log/shop"}}]}),
        json!([]),
    );
}

/// K21. Guard: `trust::signature`. The identity of Alertmanager's pod in AWS is the platform's.
#[test]
fn sns_is_called_with_the_teams_own_keys() {
    let sns =
        |sigv4: Value| json!({"sns_configs": [{"topic_arn": "arn:aws:sns:eu-west-1:1:a", "sigv4": sigv4}]});
    refuses(
        json!({}),
        sns(json!({"region": "eu-west-1"})),
        json!([]),
        "needs an access_key and a secret_key",
    );
    refuses(json!({}), sns(json!({"role_arn": "arn:aws:iam::1:role/a"})), json!([]), "needs an access_key");
    refuses(json!({}), sns(Value::Null), json!([]), "needs an access_key");
    let keys = json!({"region": "eu-west-1", "access_key": "a", "secret_key": {"$secret": {"name": "a", "key": "b"}}});
    takes(json!({}), sns(keys.clone()), json!([]));
    let mut profile = keys;
    profile["profile"] = json!("platform");
    refuses(json!({}), sns(profile), json!([]), "sigv4.profile: ");
}

/// K21. Guard: `trust::expansion`. prometheus-operator's reloader would put the variables of its own container in.
#[test]
fn no_environment_variable_is_put_in() {
    let receiver = json!({"webhook_configs": [{"url": "https://evil.example.com/$(POD_TOKEN)"}]});
    refuses(json!({}), receiver, json!([]), "receiver.webhook_configs[0].url: $(NAME)");
    refuses(
        json!({}),
        hook(),
        json!([{"matchers": ["a=\"$(POD_TOKEN)\""]}]),
        "routes[0].matchers[0]: $(NAME)",
    );
}

/// K21. Guard: `trust::inheritance`. Alertmanager fills a receiver in from `global`, whoever's server the rest of it names.
#[test]
fn no_credential_of_global_goes_to_a_server_of_the_teams() {
    let url = "https://evil.example.com";
    let smtp = json!({"smtp_smarthost": "mail.example.com:587", "smtp_from": "a@example.com", "smtp_auth_username": "am", "smtp_auth_password": "hunter2"});
    let email = |more: Value| {
        let mut email = json!({"to": "shop@example.com"});
        email.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"email_configs": [email]})
    };
    // To the platform's own server the platform's own password goes.
    takes(smtp.clone(), email(json!({})), json!([]));
    for field in [
        json!({"smarthost": "evil.example.com:25"}),
        json!({"require_tls": false}),
        json!({"tls_config": {"insecure_skip_verify": true}}),
        json!({"force_implicit_tls": false}),
    ] {
        let name = field.as_object().unwrap().keys().next().unwrap().clone();
        refuses(
            smtp.clone(),
            email(field),
            json!([]),
            &format!(
                "receiver.email_configs[0].{name}: global.smtp_auth_password would go there: set auth_password"
            ),
        );
    }
    let own = json!({"smarthost": "evil.example.com:25", "auth_password": "x"});
    takes(smtp.clone(), email(own.clone()), json!([]));
    for not_own in [json!(""), json!(null), json!("null"), json!("~")] {
        let mut receiver = email(own.clone());
        receiver["email_configs"][0]["auth_password"] = not_own;
        refuses(smtp.clone(), receiver, json!([]), "global.smtp_auth_password would go there");
    }
    let mut more = smtp.clone();
    more["smtp_auth_secret"] = json!("hunter2");
    refuses(
        more.clone(),
        email(own.clone()),
        json!([]),
        "global.smtp_auth_secret would go there: set auth_secret",
    );
    let mut both = own.clone();
    both["auth_secret"] = json!("y");
    takes(more.clone(), email(both.clone()), json!([]));
    more.as_object_mut().unwrap().remove("smtp_auth_secret");
    more["smtp_auth_secret_file"] = json!("/etc/secret");
    refuses(
        more,
        email(both),
        json!([]),
        "global.smtp_auth_secret_file would go there, whatever else is set",
    );

    for (global, list, taken, chosen, own) in [
        (
            json!({"opsgenie_api_key": "hunter2"}),
            "opsgenie_configs",
            json!({}),
            json!({"api_url": url}),
            json!({"api_key": "x"}),
        ),
        (
            json!({"opsgenie_api_key_file": "/etc/secret"}),
            "opsgenie_configs",
            json!({}),
            json!({"api_url": url}),
            json!({"api_key": "x"}),
        ),
        (
            json!({"victorops_api_key": "hunter2"}),
            "victorops_configs",
            json!({"routing_key": "a"}),
            json!({"api_url": url}),
            json!({"api_key": "x"}),
        ),
        (
            json!({"telegram_bot_token": "hunter2"}),
            "telegram_configs",
            json!({"chat_id": 1}),
            json!({"api_url": url}),
            json!({"bot_token": "x"}),
        ),
        (
            json!({"wechat_api_secret": "hunter2", "wechat_api_corp_id": "c"}),
            "wechat_configs",
            json!({}),
            json!({"api_url": url}),
            json!({"api_secret": "x"}),
        ),
        (
            json!({"slack_app_token": "hunter2"}),
            "slack_configs",
            json!({}),
            json!({"app_url": url}),
            json!({"app_token": "x"}),
        ),
        (
            json!({"slack_api_url": "https://hooks.example.com/hunter2"}),
            "slack_configs",
            json!({}),
            json!({"http_config": {"proxy_url": url}}),
            json!({"api_url": url}),
        ),
        (
            json!({"mattermost_webhook_url": "https://hooks.example.com/hunter2"}),
            "mattermost_configs",
            json!({}),
            json!({"http_config": {"proxy_url": url}}),
            json!({"webhook_url": url}),
        ),
        (
            json!({"rocketchat_token": "hunter2", "rocketchat_token_id": "i"}),
            "rocketchat_configs",
            json!({}),
            json!({"api_url": url}),
            json!({"token": "x", "token_id": "y"}),
        ),
    ] {
        let receiver = |parts: &[&Value]| {
            let mut integration = serde_json::Map::new();
            integration.extend(parts.iter().flat_map(|part| part.as_object().unwrap().clone()));
            json!({list: [integration]})
        };
        takes(global.clone(), receiver(&[&taken]), json!([]));
        refuses(global.clone(), receiver(&[&taken, &chosen]), json!([]), "would go there");
        takes(global.clone(), receiver(&[&taken, &chosen, &own]), json!([]));
        // A reference of the platform's is a credential too.
        let mut referred = global.clone();
        let name = global.as_object().unwrap().keys().next().unwrap();
        referred[name] = json!({"$secret": {"name": "a", "key": "b"}});
        refuses(referred, receiver(&[&taken, &chosen]), json!([]), "would go there");
    }
}

/// K21. Guard: `trust::inheritance`. The same for how Alertmanager logs in, which every integration takes as a whole.
#[test]
fn no_login_of_global_goes_to_a_server_of_the_teams() {
    let url = "https://evil.example.com";
    for http in [
        json!({"basic_auth": {"username": "am", "password": "hunter2"}}),
        json!({"authorization": {"credentials": "hunter2"}}),
        json!({"bearer_token": "hunter2"}),
        json!({"oauth2": {"client_id": "am", "client_secret": "hunter2", "token_url": "https://login.example.com"}}),
        json!({"http_headers": {"X-Key": {"secrets": ["hunter2"]}}}),
        json!({"tls_config": {"cert_file": "/etc/secret/tls.crt", "key_file": "/etc/secret/tls.key"}}),
    ] {
        let global = json!({"http_config": http, "jira_api_url": "https://jira.example.com"});
        for (list, integration) in [
            ("webhook_configs", json!({"url": url})),
            ("discord_configs", json!({"webhook_url": url})),
            ("pagerduty_configs", json!({"routing_key": "x", "url": url})),
            ("jira_configs", json!({"project": "a", "issue_type": "b", "api_url": url})),
            ("msteamsv2_configs", json!({"webhook_url": url})),
        ] {
            refuses(
                global.clone(),
                json!({list: [integration]}),
                json!([]),
                "the credentials of global.http_config would go there: set http_config",
            );
            let mut nothing = integration.clone();
            nothing["http_config"] = Value::Null;
            refuses(global.clone(), json!({list: [nothing]}), json!([]), "set http_config");
            let mut own = integration.clone();
            own["http_config"] = json!({});
            takes(global.clone(), json!({list: [own]}), json!([]));
        }
        // To the servers of the platform's choice it goes.
        takes(global.clone(), json!({"pagerduty_configs": [{"routing_key": "x"}]}), json!([]));
        takes(global, json!({"jira_configs": [{"project": "a", "issue_type": "b"}]}), json!([]));
    }
    // A proxy hears of nobody but its own.
    takes(
        json!({"http_config": {"proxy_url": "http://am:hunter2@proxy.example.com"}}),
        json!({"webhook_configs": [{"url": url}]}),
        json!([]),
    );
    let tls = json!({"smtp_from": "a@example.com", "smtp_tls_config": {"cert_file": "/etc/secret/a", "key_file": "/etc/secret/b"}});
    let email = json!({"to": "a@example.com", "smarthost": "evil.example.com:25"});
    refuses(
        tls.clone(),
        json!({"email_configs": [email]}),
        json!([]),
        "the credentials of global.smtp_tls_config would go there: set tls_config",
    );
    let mut own = email;
    own["tls_config"] = json!({});
    takes(tls, json!({"email_configs": [own]}), json!([]));
}
