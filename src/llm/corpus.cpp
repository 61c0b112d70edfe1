#include "stator/llm/corpus.hpp"

#include <array>
#include <fstream>
#include <iterator>
#include <optional>

#include <fmt/format.h>

namespace stator::llm {

namespace {

constexpr std::array licences{
    "GPL-3", "GPL-2", "LGPL-2.1", "Apache-2.0", "MPL-2.0", "GFDL-1.3", "Artistic"
};
constexpr std::uintmax_t largest_text = 16U << 20U;  // bytes

/// The file's text; nothing when it cannot be read.
std::optional<std::string> read_file(const std::filesystem::path& path) {
    std::ifstream file{path, std::ios::binary};
    std::string text{std::istreambuf_iterator<char>{file}, {}};
    if (!file.is_open() || file.bad() || text.empty()) return std::nullopt;
    return text;
}

}  // namespace

Result<Corpus> read_licences(const std::filesystem::path& folder) {
    Corpus corpus;
    std::string looked_for;
    for (const char* name : licences) {
        looked_for += fmt::format("{}{}", looked_for.empty() ? "" : ", ", name);
        auto text = read_file(folder / name);
        if (!text) continue;
        corpus.text += *text;
        corpus.text += '\n';
        corpus.names.emplace_back(name);
    }
    if (!corpus.names.empty()) return corpus;
    return fail(
        ErrorCode::not_found,
        "corpus.not_found",
        fmt::format(
            "no text to learn from: {} has none of {} (Debian's package base-files brings them); "
            "name another text with --corpus FILE",
            folder.string(),
            looked_for
        )
    );
}

Result<Corpus> read_text(const std::filesystem::path& file) {
    std::error_code failure;
    const auto size = std::filesystem::file_size(file, failure);
    if (!failure && size > largest_text) {
        return fail(
            ErrorCode::payload_too_large,
            "corpus.size",
            fmt::format("{} has {} bytes, at most {} are read", file.string(), size, largest_text)
        );
    }
    auto text = failure ? std::nullopt : read_file(file);
    if (!text) {
        return fail(
            ErrorCode::not_found,
            "corpus.not_found",
            fmt::format("{} is no text that can be read", file.string())
        );
    }
    return Corpus{std::move(*text), {file.filename().string()}};
}

}  // namespace stator::llm
