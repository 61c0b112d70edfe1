#include "tools/demo/terminal.hpp"

#include <unistd.h>

#include <cstdlib>

#include <fmt/format.h>

namespace stator::demo {

namespace {

constexpr std::string_view indent = "    ";
constexpr std::string_view erase_line = "\r\x1b[K";

}  // namespace

Terminal Terminal::standard() noexcept {
    const bool plain = ::isatty(STDOUT_FILENO) == 0 || std::getenv("NO_COLOR") != nullptr;
    return Terminal{stdout, !plain};
}

void Terminal::write(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), out_);
    std::fflush(out_);
}

std::string Terminal::styled(std::string_view code, std::string_view text) const {
    return lively_ ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string{text};
}

void Terminal::clear_progress() {
    if (progress_shown_) write(erase_line);
    progress_shown_ = false;
}

void Terminal::line(std::string_view text) {
    clear_progress();
    write(fmt::format("{}\n", text));
}

void Terminal::progress(std::string_view text) {
    if (!lively_) return;
    write(fmt::format("{}{}", erase_line, text.substr(0, width)));
    progress_shown_ = true;
}

void Terminal::paragraph(std::string_view first) {
    clear_progress();
    write(indent);
    write(bold(first));
    column_ = indent.size() + first.size();
}

void Terminal::word(std::string_view piece) {
    if (column_ + piece.size() > width && piece.starts_with(' ')) {
        write("\n");
        write(indent);
        piece.remove_prefix(1);
        column_ = indent.size();
    }
    write(piece);
    column_ += piece.size();
}

void Terminal::end_paragraph() { line(); }

}  // namespace stator::demo
