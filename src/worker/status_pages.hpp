// What the status server shows: from what is known to text, without a server.
#pragma once

#include <string>
#include <vector>

#include "stator/http/message.hpp"
#include "stator/observe/health.hpp"
#include "stator/settings/settings.hpp"

namespace stator::inline worker {

/// {"status":..,"uptime":{..},"endpoints":{..}} as the original has it, and why.
http::Response health_page(const observe::HealthReport& report, Duration uptime);
http::Response ready_page(const observe::HealthReport& report);
/// `stuck`: what is wrong; live if nothing is.
http::Response live_page(const std::vector<std::string>& stuck, Duration uptime);
http::Response metadata_page(const std::vector<std::shared_ptr<const observe::InstanceView>>& all);
http::Response streams_page(const std::vector<std::shared_ptr<const observe::InstanceView>>& all);
/// Without the passwords in addresses.
http::Response config_page(const settings::Settings& settings);

/// "nats://user:secret@host" as "nats://***@host", anywhere in `text`.
std::string without_secrets(std::string text);

}  // namespace stator::inline worker
