#include "stator/nats/object_store.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "nats/object_record.hpp"
#include "nats/object_upload.hpp"
#include "nats/pull_reader.hpp"
#include "nats/repeated.hpp"
#include "nats/sha256.hpp"
#include "stator/base/random.hpp"
#include "stator/base/sink.hpp"
#include "stator/base/text.hpp"

namespace stator::nats {

namespace {

/// Of a transfer that was lost, or overtaken.
constexpr int most_attempts = 4;
/// What a download asks for ahead, in bytes and in messages.
constexpr std::uint64_t ahead_bytes = std::uint64_t{2} << 20U;
constexpr std::uint64_t most_ahead = 64;
constexpr std::size_t least_chunk = 1;

std::string new_nuid() {
    constexpr std::string_view inbox = "_INBOX.";
    return Client::new_inbox().substr(inbox.size());
}

Error missing(std::string_view bucket, std::string_view name) {
    return Error{
        ErrorCode::not_found,
        "nats.object_missing",
        fmt::format("there is no object {} in the bucket {}", quoted_text(name), bucket)
    };
}

Error busy(std::string_view name) {
    return Error{
        ErrorCode::overloaded,
        "nats.object_busy",
        fmt::format("others write {} all the time", quoted_text(name))
    };
}

/// Whether what was to be stored is surely not.
bool is_refusal(const Error& error) {
    return error.detail() == "nats.object_busy" || error.detail() == "nats.jetstream" ||
           !may_pass(error);
}

/// Some write no "=" at the end, or a small "sha".
bool same_digest(std::string_view ours, std::string_view theirs) {
    const auto bare = [](std::string_view text) {
        if (const auto end = text.find_last_not_of('='); end != text.npos)
            text.remove_suffix(text.size() - end - 1);
        return text;
    };
    const auto prefix = std::string_view{"SHA-256="}.size();
    if (theirs.size() <= prefix) return false;
    const auto kind = theirs.substr(0, prefix);
    return (kind == "SHA-256=" || kind == "sha-256=") &&
           bare(ours.substr(prefix)) == bare(theirs.substr(prefix));
}

}  // namespace

struct ObjectStore::State {
    /// What the bucket has of a name, also of one that was removed.
    struct Last {
        std::uint64_t sequence = 0;
        std::optional<ObjectInfo> info{};
        std::optional<Error> unreadable{};  ///< why there is no `info`
        /// Null if there is none, or none any more.
        const ObjectInfo* object() const { return info && !info->deleted ? &*info : nullptr; }
    };

    State(Client client, ObjectStoreOptions options_)
        : server{std::move(client)},
          options{std::move(options_)},
          stream{object_stream(options.bucket)} {}

    Deadline deadline() const { return Deadline::in(options.call_timeout); }
    Error no_bucket() const;
    Task<> ensure() const;
    Task<> ensure_once(Deadline deadline) const;
    Task<Last> find(std::string name) const;
    Task<Last> read(std::string name) const;
    Task<ObjectInfo> found(std::string name) const;
    Task<ObjectInfo> upload(std::string name, const ObjectSource* source) const;
    Task<> commit(const ObjectInfo* info) const;
    Task<std::optional<Last>> write(const ObjectInfo* info, std::uint64_t over, Deadline until)
        const;
    Task<> drop_chunks(std::string nuid) const;
    Task<> download(const ObjectInfo* info, const ObjectSink* sink) const;
    Task<std::map<std::string, ObjectInfo>> records() const;

    const JetStream server;
    const ObjectStoreOptions options;
    const std::string stream;
};

Result<ObjectStore> ObjectStore::at(Client client, ObjectStoreOptions options) {
    if (!is_stream_name(options.bucket))
        return fail(
            ErrorCode::invalid_request,
            "nats.bucket",
            fmt::format(
                "{} is no name of a bucket: letters, digits, - and _", quoted_text(options.bucket)
            )
        );
    return ObjectStore{std::make_shared<const State>(std::move(client), std::move(options))};
}

const std::string& ObjectStore::bucket() const noexcept { return state_->options.bucket; }

// ---- the bucket

Error ObjectStore::State::no_bucket() const {
    return Error{
        ErrorCode::not_found,
        "nats.bucket_missing",
        fmt::format("there is no bucket {}", options.bucket)
    };
}

Task<> ObjectStore::State::ensure_once(Deadline deadline) const {
    auto state = co_await server.stream(stream, deadline);
    if (!state) {
        const auto made = co_await as_result(server.create_stream(
            {.name = stream,
             .subjects = {chunk_subject(options.bucket, ">"), record_pattern(options.bucket)},
             .max_age = options.max_age,
             .allow_direct = true,
             .replicas = options.replicas,
             .rollup = true,
             .refuse_more = true},
            deadline
        ));
        if (made) co_return;
        if (made.error().detail() != "nats.stream_differs") throw made.error();
        state = co_await server.stream(stream, deadline);  // somebody else was first
        if (!state) throw made.error();
    }
    if (!state->options.rollup)
        throw Error{
            ErrorCode::already_exists,
            "nats.bucket_differs",
            fmt::format("the stream {} is no bucket of objects", stream)
        };
}

Task<> ObjectStore::State::ensure() const {
    return repeated<void>([this](Deadline attempt) { return ensure_once(attempt); }, deadline());
}

Task<> ObjectStore::create_bucket() const {
    const auto state = state_;
    co_await state->ensure();
}

Task<bool> ObjectStore::delete_bucket() const {
    const auto state = state_;
    co_return co_await repeated<bool>(
        [&](Deadline attempt) { return state->server.delete_stream(state->stream, attempt); },
        state->deadline()
    );
}

// ---- records

Task<ObjectStore::State::Last> ObjectStore::State::find(std::string name) const {
    const auto subject = object_record_subject(options.bucket, name);
    const auto last = co_await as_result(repeated<std::optional<JetStream::Stamped>>(
        [&](Deadline attempt) { return server.last_stored(stream, subject, attempt); }, deadline()
    ));
    if (!last && last.error().detail() == "nats.no_stream") throw no_bucket();
    if (!last) throw last.error();
    const auto& record = *last;
    if (!record) co_return Last{};
    auto info = read_record(record->payload.view(), record->stored);
    if (info) co_return Last{.sequence = record->sequence, .info = std::move(*info)};
    co_return Last{
        .sequence = record->sequence,
        .unreadable = info.error().with_context(fmt::format("the object {}", quoted_text(name)))
    };
}

Task<ObjectStore::State::Last> ObjectStore::State::read(std::string name) const {
    if (auto good = check_object_name(name); !good) throw good.error();
    auto last = co_await find(std::move(name));
    if (last.unreadable) throw *last.unreadable;
    co_return last;
}

Task<ObjectInfo> ObjectStore::State::found(std::string name) const {
    const auto last = co_await read(name);
    const auto* const object = last.object();
    if (object == nullptr) throw missing(options.bucket, name);
    if (object->link.empty()) co_return *object;
    throw Error{
        ErrorCode::unimplemented,
        "nats.object_link",
        fmt::format("{} is a link to {}", quoted_text(name), quoted_text(object->link))
    };
}

Task<std::optional<ObjectInfo>> ObjectStore::info(std::string name) const {
    const auto state = state_;
    const auto last = co_await state->read(std::move(name));
    const auto* const object = last.object();
    if (object == nullptr) co_return std::nullopt;
    co_return *object;
}

/// Nothing once it is the object's record; otherwise what is, instead of the one at `over`.
Task<std::optional<ObjectStore::State::Last>> ObjectStore::State::write(
    const ObjectInfo* info, std::uint64_t over, Deadline until
) const {
    const auto stored = co_await as_result(server.publish_surely(
        {.subject = object_record_subject(options.bucket, info->name),
         .payload = record_text(*info),
         .headers =
             {{std::string{rollup_header}, "sub"},
              {std::string{expect_of_subject_header}, std::to_string(over)},
              {std::string{message_id_header}, new_nuid()}}},
        until
    ));
    if (stored) co_return std::nullopt;
    if (stored.error().detail() != "nats.wrong_sequence") throw stored.error();
    auto last = co_await find(info->name);
    // It may be ours, if the server has forgotten that it has got it.
    if (last.info && last.info->nuid == info->nuid && last.info->deleted == info->deleted)
        co_return std::nullopt;
    co_return last;
}

Task<> ObjectStore::State::drop_chunks(std::string nuid) const {
    return remove_chunks(server, stream, chunk_subject(options.bucket, nuid), options.call_timeout);
}

Task<std::map<std::string, ObjectInfo>> ObjectStore::State::records() const {
    PullReader reader{
        server,
        {.stream = stream,
         .filter = record_pattern(options.bucket),
         .batch = most_ahead,
         .call_timeout = options.call_timeout}
    };
    std::map<std::string, ObjectInfo> found;
    while (const auto message = co_await reader.next()) {
        const auto delivery = delivery_of(message->reply);
        auto info =
            read_record(message->payload.view(), time_text(delivery ? delivery->stored_ns : 0));
        if (!info) {
            sink().report(
                Severity::warn,
                "stator::nats",
                fmt::format("{} at {}", info.error().what(), quoted_text(message->subject))
            );
        } else if (info->deleted) {
            found.erase(info->name);
        } else {
            auto name = info->name;
            found.insert_or_assign(std::move(name), std::move(*info));
        }
    }
    co_return found;
}

Task<std::vector<ObjectInfo>> ObjectStore::list() const {
    const auto state = state_;
    auto found = co_await as_result(state->records());
    if (!found && found.error().detail() == "nats.no_stream") throw state->no_bucket();
    if (!found) throw found.error();
    std::vector<ObjectInfo> all;
    all.reserve(found->size());
    for (auto& [name, info] : *found) all.push_back(std::move(info));
    co_return all;
}

Task<bool> ObjectStore::remove(std::string name) const {
    const auto state = state_;
    const auto until = state->deadline();
    auto last = co_await state->read(name);
    while (const auto* const object = last.object()) {
        const ObjectInfo info{
            .name = name,
            .bucket = state->options.bucket,
            .nuid = object->nuid,
            .modified = object->modified,
            .max_chunk_size = object->max_chunk_size,
            .deleted = true,
        };
        // Not interrupted: chunks of an object that is there may not go.
        auto other = co_await shielded(state->write(&info, last.sequence, until));
        if (!other) {
            co_await shielded(state->drop_chunks(info.nuid));
            co_return true;
        }
        if (until.passed()) throw busy(name);
        last = std::move(*other);
    }
    co_return false;
}

// ---- putting

/// The chunks are stored and nobody knows of them yet.
Task<ObjectInfo> ObjectStore::State::upload(std::string name, const ObjectSource* source) const {
    for (int attempt = 1;; ++attempt) {
        co_await ensure();
        const auto most = server.client().max_payload();
        const auto chunk_size = std::max(std::min(options.chunk_size, most), least_chunk);
        ObjectInfo info{
            .name = name,
            .bucket = options.bucket,
            .nuid = new_nuid(),
            .max_chunk_size = chunk_size,
        };
        ObjectUpload upload{
            server,
            {.stream = stream,
             .subject = chunk_subject(options.bucket, info.nuid),
             .chunk_size = chunk_size,
             .call_timeout = options.call_timeout},
            source
        };
        const auto sent = co_await as_result(upload.run());
        if (sent) {
            info.size = upload.size();
            info.chunks = upload.chunks();
            info.digest = digest_text(upload.sha256());
            const auto now = std::chrono::system_clock::now().time_since_epoch();
            info.modified =
                time_text(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
            co_return info;
        }
        if (!upload.may_be_repeated() || attempt == most_attempts) throw sent.error();
    }
}

/// Makes it the object of its name, then removes the chunks of the one before. If it throws that
/// this cannot be, its own are removed.
Task<> ObjectStore::State::commit(const ObjectInfo* info) const {
    const auto until = deadline();
    auto last = co_await as_result(find(info->name));
    const bool asked = last.has_value();
    while (last) {
        const auto* const object = last->object();
        const auto before = object != nullptr ? object->nuid : std::string{};
        auto other = co_await as_result(write(info, last->sequence, until));
        if (!other) {
            last = std::unexpected{other.error()};
            continue;
        }
        auto& instead = *other;
        if (!instead) {
            if (!before.empty()) co_await drop_chunks(before);
            co_return;
        }
        if (until.passed()) {
            last = std::unexpected{busy(info->name)};
        } else {
            last = std::move(*instead);
        }
    }
    // Otherwise it may be there: an object without its chunks would be worse than chunks that stay.
    if (!asked || is_refusal(last.error())) co_await drop_chunks(info->nuid);
    throw last.error();
}

Task<ObjectInfo> ObjectStore::put_from(std::string name, ObjectSource source) const {
    const auto state = state_;
    if (auto good = check_object_name(name); !good) throw good.error();
    const auto info = co_await state->upload(std::move(name), &source);
    // Not interrupted: whether it is there would not be known.
    co_await shielded(state->commit(&info));
    co_return info;
}

Task<ObjectInfo> ObjectStore::put(std::string name, Bytes content) const {
    return put_from(
        std::move(name),
        [content = std::move(content)](std::uint64_t offset, std::size_t size) {
            return [](Bytes piece) -> Task<Bytes> { co_return piece; }(content.slice(offset, size));
        }
    );
}

// ---- getting

/// Throws "nats.object_incomplete" or "nats.object_digest" where what is there is not the object.
Task<> ObjectStore::State::download(const ObjectInfo* info, const ObjectSink* sink) const {
    const auto one = std::max<std::uint64_t>(info->chunks == 0 ? 1 : info->size / info->chunks, 1);
    PullReader reader{
        server,
        {.stream = stream,
         .filter = chunk_subject(options.bucket, info->nuid),
         .batch = std::clamp<std::uint64_t>(ahead_bytes / one, 2, most_ahead),
         .call_timeout = options.call_timeout}
    };
    const auto refuse = [&](const char* detail, std::string why) -> Error {
        return {
            ErrorCode::protocol,
            detail,
            fmt::format("the object {}: {}", quoted_text(info->name), std::move(why))
        };
    };
    Sha256 sha256;
    std::uint64_t size = 0;
    if (info->size == 0) co_await (*sink)(info, 0, Bytes{});
    while (info->size > 0) {
        auto message = co_await reader.next();
        if (!message) break;
        auto& piece = message->payload;
        if (piece.size() > info->size - size)
            throw refuse("nats.object_digest", "there is more of it than its record says");
        sha256.add(piece.span());
        const auto offset = size;
        size += piece.size();
        co_await (*sink)(info, offset, std::move(piece));
    }
    if (size != info->size)
        throw refuse("nats.object_incomplete", fmt::format("{} of {} bytes", size, info->size));
    if (!info->digest.empty() && !same_digest(digest_text(sha256.finish()), info->digest))
        throw refuse("nats.object_digest", "its digest is not that of its record");
}

Task<ObjectInfo> ObjectStore::get_to(std::string name, ObjectSink sink) const {
    const auto state = state_;
    auto info = co_await state->found(name);
    for (int attempt = 1;; ++attempt) {
        const auto done = co_await as_result(state->download(&info, &sink));
        if (done) co_return info;
        const auto& detail = done.error().detail();
        if (detail == "nats.no_stream") throw state->no_bucket();
        if (detail != "nats.object_incomplete" && detail != "nats.object_digest")
            throw done.error();
        // Its chunks go when somebody writes over it.
        auto now = co_await state->found(name);
        if (now.nuid == info.nuid) throw done.error();
        if (attempt == most_attempts) throw busy(name);
        info = std::move(now);
    }
}

Task<Bytes> ObjectStore::get(std::string name, std::size_t most_bytes) const {
    const auto self = *this;
    struct Block {
        explicit Block(std::size_t size_) : memory{Buffer::allocate(size_)}, size{size_} {}
        Block(const Block&) = delete;
        Block& operator=(const Block&) = delete;
        ~Block() { memory->release(); }
        Buffer* memory;
        std::size_t size;
    };
    std::unique_ptr<Block> block;
    const auto add = [&block,
                      most_bytes](const ObjectInfo* object, std::uint64_t offset, Bytes piece) {
        if (object->size > most_bytes)
            throw Error{
                ErrorCode::payload_too_large,
                "nats.object_too_large",
                fmt::format("{} has {} bytes", quoted_text(object->name), object->size)
            };
        if (offset == 0) block = std::make_unique<Block>(object->size);
        std::ranges::copy(piece.span(), block->memory->data() + offset);
        return []() -> Task<> { co_return; }();
    };
    co_await self.get_to(std::move(name), add);
    co_return Bytes::share(block->memory, block->memory->data(), block->size);
}

}  // namespace stator::nats
