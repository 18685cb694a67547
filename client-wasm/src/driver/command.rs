//! What the page says to the driver. The names are those of the page's `contract.ts`.

use serde::Deserialize;
use tabswarm_protocol::client::PauseReason;

use super::limits::MAX_LANES;

/// One message of the page.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Command {
    /// Work for a server; first and once.
    Start {
        /// Its http(s) origin.
        server: String,
        /// The run to work for; any if none.
        run: Option<String>,
        /// What the volunteer allows.
        settings: Settings,
    },
    /// Hold.
    Pause {
        /// Why.
        reason: Hold,
    },
    /// Go on.
    Resume,
    /// Hand in what is done and leave.
    Finish,
    /// Do not wait for the next connection attempt.
    RetryNow,
    /// Other limits.
    Settings {
        /// The new ones.
        settings: Settings,
    },
    /// The device lost or regained its network.
    Online {
        /// Whether it has one.
        online: bool,
    },
}

/// What the volunteer allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Settings {
    duty_percent: u8,
    lanes: u16,
    #[serde(default)]
    gpu: GpuWish,
}

/// Whether the first lane may compute on the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GpuWish {
    /// It may not.
    #[default]
    Off,
    /// Where it is faster than the processor.
    Auto,
    /// Wherever the run allows it.
    Always,
}

impl GpuWish {
    /// The page's word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Always => "always",
        }
    }
}

impl Settings {
    /// Share of time that lanes may compute.
    pub(crate) fn duty_percent(self) -> u8 {
        self.duty_percent.clamp(1, 100)
    }

    /// Number of lanes.
    pub(crate) fn lanes(self) -> u16 {
        self.lanes.clamp(1, MAX_LANES)
    }

    /// What the first lane may compute on.
    pub(crate) fn gpu(self) -> GpuWish {
        self.gpu
    }
}

/// Why the page wants to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hold {
    /// The volunteer said so.
    User,
    /// The page is hidden.
    Hidden,
    /// The device runs on battery.
    OnBattery,
    /// The battery is low.
    BatteryLow,
    /// There is no network.
    Offline,
    /// The volunteer's data limit is reached.
    DataCap,
}

impl Hold {
    /// The session's word; none for what the session calls offline.
    pub(crate) fn pause_reason(self) -> Option<PauseReason> {
        match self {
            Self::User => Some(PauseReason::User),
            Self::Hidden => Some(PauseReason::Hidden),
            Self::OnBattery => Some(PauseReason::OnBattery),
            Self::BatteryLow => Some(PauseReason::BatteryLow),
            Self::DataCap => Some(PauseReason::DataCap),
            Self::Offline => None,
        }
    }
}

impl Command {
    /// Reads a message's JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn from_json(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_of_the_contract_is_read() {
        let settings = Settings {
            duty_percent: 50,
            lanes: 2,
            gpu: GpuWish::Off,
        };
        let start = |run: Option<&str>| Command::Start {
            server: "http://127.0.0.1:8080".to_owned(),
            run: run.map(str::to_owned),
            settings,
        };
        let pause = |reason| Command::Pause { reason };
        let limits = r#""settings":{"duty_percent":50,"lanes":2}"#;
        let server = r#""server":"http://127.0.0.1:8080""#;
        let cases = [
            (
                format!(r#"{{"kind":"start",{server},"run":null,{limits}}}"#),
                start(None),
            ),
            (
                format!(r#"{{"kind":"start",{server},"run":"a",{limits}}}"#),
                start(Some("a")),
            ),
            (
                r#"{"kind":"pause","reason":"user"}"#.to_owned(),
                pause(Hold::User),
            ),
            (
                r#"{"kind":"pause","reason":"on_battery"}"#.to_owned(),
                pause(Hold::OnBattery),
            ),
            (
                r#"{"kind":"pause","reason":"battery_low"}"#.to_owned(),
                pause(Hold::BatteryLow),
            ),
            (
                r#"{"kind":"pause","reason":"data_cap"}"#.to_owned(),
                pause(Hold::DataCap),
            ),
            (
                r#"{"kind":"pause","reason":"hidden"}"#.to_owned(),
                pause(Hold::Hidden),
            ),
            (
                r#"{"kind":"pause","reason":"offline"}"#.to_owned(),
                pause(Hold::Offline),
            ),
            (r#"{"kind":"resume"}"#.to_owned(), Command::Resume),
            (r#"{"kind":"finish"}"#.to_owned(), Command::Finish),
            (r#"{"kind":"retry_now"}"#.to_owned(), Command::RetryNow),
            (
                format!(r#"{{"kind":"settings",{limits}}}"#),
                Command::Settings { settings },
            ),
            (
                r#"{"kind":"online","online":false}"#.to_owned(),
                Command::Online { online: false },
            ),
        ];
        for (json, command) in cases {
            assert_eq!(Command::from_json(&json), Ok(command), "{json}");
        }
        assert!(Command::from_json(r#"{"kind":"dance"}"#).is_err());
    }

    #[test]
    fn a_gpu_is_used_where_it_is_wished() {
        for wish in [GpuWish::Off, GpuWish::Auto, GpuWish::Always] {
            let gpu = wish.as_str();
            let json = format!(r#"{{"duty_percent":50,"lanes":2,"gpu":"{gpu}"}}"#);
            let settings: Settings = serde_json::from_str(&json).unwrap();
            assert_eq!(settings.gpu(), wish);
        }
    }

    #[test]
    fn settings_are_brought_into_range() {
        let settings = Settings {
            duty_percent: 0,
            lanes: 0,
            gpu: GpuWish::Off,
        };
        assert_eq!((settings.duty_percent(), settings.lanes()), (1, 1));
        let settings = Settings {
            duty_percent: 200,
            lanes: 5_000,
            gpu: GpuWish::Off,
        };
        assert_eq!(
            (settings.duty_percent(), settings.lanes()),
            (100, MAX_LANES)
        );
    }
}
