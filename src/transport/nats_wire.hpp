// What requests by NATS have beside those by TCP.
#pragma once

#include <string_view>

namespace stator::transport::nats_wire {

/// The header of callers that read what an acknowledgement says. The original does not: its workers
/// acknowledge before they have read a request, so a refusal reaches its callers by their answer.
inline constexpr std::string_view reads_acks = "x-stator-reads-acks";
/// Its value where the caller knows the header below, too.
inline constexpr std::string_view reads_many = "many";
/// Of an acknowledgement: the last parts of the reply subjects of further requests, of the same
/// inbox, that were accepted, with commas between them.
inline constexpr std::string_view also_accepted = "x-stator-also-accepted";
/// Members of this group share a subject, each of which belongs to one worker only.
inline constexpr std::string_view queue_group = "q";

}  // namespace stator::transport::nats_wire
