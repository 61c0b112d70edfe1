#include "nats/object_record.hpp"

#include <chrono>
#include <type_traits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "nats/base64.hpp"
#include "stator/base/text.hpp"
#include "stator/codec/json.hpp"
#include "stator/codec/utf8.hpp"

namespace stator::nats {

namespace {

/// Written in base64 it is part of a line that the server takes no longer than 4096 bytes.
constexpr std::size_t longest_name = 1024;

Error bad_record(std::string_view why) {
    return Error{
        ErrorCode::protocol,
        "nats.object_record",
        fmt::format("the record of an object cannot be read: {}", why)
    };
}

/// Nothing where there is none of that name; `bad` where it is of another type.
template <class T>
T value_of(const Document& of, const char* name, std::string_view* bad) {
    const auto found = of.find(name);
    if (found == of.end() || found->is_null()) return T{};
    const bool fits = [&] {
        if constexpr (std::is_same_v<T, std::string>)
            return found->is_string();
        else if constexpr (std::is_same_v<T, bool>)
            return found->is_boolean();
        else
            return found->is_number_unsigned();
    }();
    if (fits) return found->template get<T>();
    *bad = name;
    return T{};
}

void read_options(const Document& of, ObjectInfo* info, std::string_view* bad) {
    info->max_chunk_size = value_of<std::uint64_t>(of, "max_chunk_size", bad);
    const auto link = of.find("link");
    if (link == of.end() || !link->is_object()) return;
    info->link = value_of<std::string>(*link, "bucket", bad);
    if (auto name = value_of<std::string>(*link, "name", bad); !name.empty())
        info->link += "/" + name;
}

}  // namespace

std::string object_stream(std::string_view bucket) { return fmt::format("OBJ_{}", bucket); }

std::string chunk_subject(std::string_view bucket, std::string_view nuid) {
    return fmt::format("$O.{}.C.{}", bucket, nuid);
}

std::string object_record_subject(std::string_view bucket, std::string_view name) {
    return fmt::format("$O.{}.M.{}", bucket, to_base64url(name));
}

std::string record_pattern(std::string_view bucket) { return fmt::format("$O.{}.M.>", bucket); }

std::string digest_text(std::string_view sha256) { return "SHA-256=" + to_base64url(sha256); }

Result<void> check_object_name(std::string_view name) {
    if (!name.empty() && name.size() <= longest_name && is_utf8(name)) return {};
    return fail(
        ErrorCode::invalid_request,
        "nats.object_name",
        fmt::format("{} is not 1 to {} bytes of UTF-8", quoted_text(name), longest_name)
    );
}

Bytes record_text(const ObjectInfo& info) {
    Document record{
        {"name", info.name},
        {"options", {{"max_chunk_size", info.max_chunk_size}}},
        {"bucket", info.bucket},
        {"nuid", info.nuid},
        {"size", info.size},
        {"mtime", info.modified},
        {"chunks", info.chunks},
    };
    if (!info.digest.empty()) record["digest"] = info.digest;
    if (info.deleted) record["deleted"] = true;
    const auto text = encode_json(record);
    if (!text) throw text.error();
    return Bytes::copy_of(*text);
}

Result<ObjectInfo> read_record(std::string_view text, std::string stored) {
    const auto record = decode_json(text);
    if (!record) return std::unexpected{bad_record(record.error().message())};
    if (!record->is_object()) return std::unexpected{bad_record("no object")};
    std::string_view bad;
    ObjectInfo info{
        .name = value_of<std::string>(*record, "name", &bad),
        .bucket = value_of<std::string>(*record, "bucket", &bad),
        .nuid = value_of<std::string>(*record, "nuid", &bad),
        .size = value_of<std::uint64_t>(*record, "size", &bad),
        .chunks = value_of<std::uint64_t>(*record, "chunks", &bad),
        .digest = value_of<std::string>(*record, "digest", &bad),
        .modified = whole_time_text(std::move(stored)),
        .deleted = value_of<bool>(*record, "deleted", &bad),
    };
    const auto options = record->find("options");
    if (options != record->end() && options->is_object()) read_options(*options, &info, &bad);
    if (!bad.empty()) return std::unexpected{bad_record(fmt::format("{} is no such value", bad))};
    if (info.name.empty()) return std::unexpected{bad_record("no name")};
    // It becomes a part of subjects.
    if (info.link.empty() && !is_stream_name(info.nuid))
        return std::unexpected{bad_record("no nuid")};
    return info;
}

std::string time_text(std::int64_t nanoseconds) {
    using namespace std::chrono;
    const sys_time<std::chrono::nanoseconds> at{std::chrono::nanoseconds{nanoseconds}};
    const auto day = floor<days>(at);
    const year_month_day date{day};
    const hh_mm_ss time{at - day};
    return fmt::format(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
        static_cast<int>(date.year()),
        static_cast<unsigned>(date.month()),
        static_cast<unsigned>(date.day()),
        time.hours().count(),
        time.minutes().count(),
        time.seconds().count(),
        time.subseconds().count()
    );
}

std::string whole_time_text(std::string time) {
    constexpr std::size_t of_seconds = std::string_view{"1970-01-01T00:00:00"}.size();
    constexpr std::size_t of_all = of_seconds + std::string_view{".000000000Z"}.size();
    if (time.size() <= of_seconds || time.size() >= of_all || !time.ends_with('Z')) return time;
    time.pop_back();
    if (time.size() == of_seconds) time += '.';
    time.resize(of_all - 1, '0');
    return time + 'Z';
}

}  // namespace stator::nats
