// What the tests of Dynamo's planes share: captured exchanges with the original, and bytes.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stator/base/bytes.hpp"
#include "transport/dynamo_reader.hpp"
#include "transport/dynamo_writer.hpp"

namespace stator::transport::dynamo::test {

using Json = nlohmann::ordered_json;

inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text});
}

inline std::string from_hex(std::string_view hex) {
    std::string out;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        out.push_back(static_cast<char>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16)));
    return out;
}

/// What is in `value`; a test that finds nothing there ends.
template <class T>
const T& got(const std::optional<T>& value) {
    if (!value) throw std::runtime_error{"nothing where a value is expected"};
    return *value;
}
template <class T>
T& got(std::optional<T>& value) {
    if (!value) throw std::runtime_error{"nothing where a value is expected"};
    return *value;
}
template <class T>
T got(std::optional<T>&& value) {
    return std::move(got(value));
}

/// All that is queued, which is taken off the queue.
inline std::string drain(Output& out) {
    std::string text;
    while (!out.empty()) {
        std::array<iovec, 8> vectors{};
        const auto count = out.gather(vectors);
        std::size_t size = 0;
        for (std::size_t i = 0; i < count; ++i) {
            text.append(static_cast<const char*>(vectors[i].iov_base), vectors[i].iov_len);
            size += vectors[i].iov_len;
        }
        out.written(size);
    }
    return text;
}

/// Hands bytes to a reader as a socket does: into its space, as many as fit.
template <class Reader>
void receive(Reader& reader, std::string_view& bytes) {
    std::array<iovec, 2> vectors{};
    const auto count = reader.space(vectors);
    std::size_t size = 0;
    for (std::size_t i = 0; i < count && !bytes.empty(); ++i) {
        const auto part = std::min(bytes.size(), vectors[i].iov_len);
        std::memcpy(vectors[i].iov_base, bytes.data(), part);
        bytes.remove_prefix(part);
        size += part;
    }
    ASSERT_GT(size, 0U) << "no space";
    reader.received(size);
}

/// One captured frame. `decoded` is what another decoder made of it.
struct Captured {
    std::string from;  ///< file and place, for messages
    std::string name;
    std::string plane;
    std::string direction;
    std::string bytes;
    Json decoded;
};

inline Json read_capture(const std::filesystem::path& file) {
    std::ifstream in{file};
    return Json::parse(in);
}

inline std::filesystem::path captures_folder() {
    return std::filesystem::path{STATOR_SOURCE_DIR} / "tests/interop/captures";
}

inline std::vector<Captured> frames_of_file(const std::filesystem::path& file) {
    std::vector<Captured> frames;
    const auto capture = read_capture(file);
    if (!capture.contains("messages")) return frames;
    for (const auto& message : capture["messages"]) {
        frames.push_back({
            .from = file.filename().string() + " #" + std::to_string(frames.size()),
            .name = message.value("name", ""),
            .plane = message.value("plane", ""),
            .direction = message.value("direction", ""),
            .bytes = from_hex(message.value("bytes_hex", "")),
            .decoded = message.value("decoded", Json{}),
        });
    }
    return frames;
}

inline std::vector<Captured> frames_of(std::string_view name) {
    return frames_of_file(captures_folder() / (std::string{name} + ".json"));
}

/// The frames of all captures of the TCP planes; socket events and cut frames are left out.
inline std::vector<Captured> all_frames() {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator{captures_folder()})
        files.push_back(entry.path());
    std::ranges::sort(files);
    std::vector<Captured> all;
    for (const auto& file : files) {
        for (auto& frame : frames_of_file(file)) {
            const bool event = frame.name.starts_with("tcp-") || frame.name == "partial";
            if (!event && frame.plane.ends_with("-tcp")) all.push_back(std::move(frame));
        }
    }
    return all;
}

/// The frame of that name in the collection of examples.
inline std::string golden(std::string_view name) {
    for (const auto& frame : frames_of("golden")) {
        if (frame.name == name) return frame.bytes;
    }
    ADD_FAILURE() << "no golden frame " << name;
    return {};
}

}  // namespace stator::transport::dynamo::test
