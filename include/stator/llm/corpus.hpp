// Where the small model finds a text to learn from.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "stator/base/error.hpp"

namespace stator::llm {

/// Debian's package base-files, which every Debian has, puts licence texts here.
inline constexpr const char* licence_folder = "/usr/share/common-licenses";

struct Corpus {
    std::string text;
    std::vector<std::string> names;  ///< of the files it is made of
};

/// Those of the licence texts in `folder` that can be read, always in the same order. Blocks; call
/// it at the start. Fails with not_found "corpus.not_found", naming what was looked for.
Result<Corpus> read_licences(const std::filesystem::path& folder = licence_folder);

/// One text of the user's own. Fails with not_found "corpus.not_found", payload_too_large
/// "corpus.size".
Result<Corpus> read_text(const std::filesystem::path& file);

}  // namespace stator::llm
