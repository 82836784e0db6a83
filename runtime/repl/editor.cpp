#include "runtime/repl/editor.h"

#include "runtime/base/redact.h"
#include "runtime/base/text.h"

#include <histedit.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace runbook::repl {

namespace {

constexpr int history_size = 5000;

/// The longest beginning that all words share.
std::string common_start(const std::vector<std::string>& words) {
    std::string common = words.front();
    for (const std::string& word : words) {
        std::size_t same = 0;
        while (same < common.size() && same < word.size() && common[same] == word[same])
            ++same;
        common.resize(same);
    }
    return common;
}

void print_columns(const std::vector<std::string>& words) {
    winsize size{};
    const std::size_t width =
        ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    std::size_t longest = 0;
    for (const std::string& word : words)
        longest = std::max(longest, text::display_width(word));
    const std::size_t columns = std::max<std::size_t>(1, width / (longest + 2));
    constexpr std::size_t most = 120;
    std::string out = "\n";
    for (std::size_t i = 0; i < words.size() && i < most; ++i) {
        const bool last = (i + 1) % columns == 0 || i + 1 == words.size() || i + 1 == most;
        out += words[i];
        out += last ? "\n" : std::string(longest + 2 - text::display_width(words[i]), ' ');
    }
    if (words.size() > most)
        out += "and " + std::to_string(words.size() - most) + " more\n";
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);
}

} // namespace

struct Editor::Impl {
    EditLine* editor = nullptr;
    History* history = nullptr;
    Complete complete;
    std::string prompt, file;
    bool interrupted = false;

    static Impl& of(EditLine* editor) {
        void* data = nullptr;
        el_get(editor, EL_CLIENTDATA, &data);
        return *static_cast<Impl*>(data);
    }
    static char* show_prompt(EditLine* editor) { return of(editor).prompt.data(); }

    /// Ctrl-C while a line is edited: the terminal sends it as a character then.
    static unsigned char on_interrupt(EditLine* editor, int) {
        of(editor).interrupted = true;
        return CC_NEWLINE;
    }

    static unsigned char on_tab(EditLine* editor, int) {
        const LineInfo* info = el_line(editor);
        const std::string line(info->buffer, info->cursor);
        const Candidates found = of(editor).complete(line);
        if (found.words.empty())
            return CC_ERROR;
        const std::string common = common_start(found.words);
        if (common.size() > found.word) {
            el_insertstr(editor, common.substr(found.word).c_str());
            return CC_REFRESH;
        }
        if (found.words.size() == 1)
            return CC_REFRESH;
        print_columns(found.words);
        return CC_REDISPLAY;
    }

    void load_history() {
        HistEvent event{};
        history = history_init();
        ::history(history, &event, H_SETSIZE, history_size);
        ::history(history, &event, H_SETUNIQUE, 1);
        ::history(history, &event, H_LOAD, file.c_str());
        el_set(editor, EL_HIST, ::history, history);
    }
};

Editor::Editor(Complete complete) : impl_(std::make_unique<Impl>()) {
    Impl& impl = *impl_;
    impl.complete = std::move(complete);
    impl.file = history_path();
    impl.editor = el_init("runbook", stdin, stdout, stderr);
    el_set(impl.editor, EL_CLIENTDATA, impl_.get());
    el_set(impl.editor, EL_PROMPT, Impl::show_prompt);
    el_set(impl.editor, EL_EDITOR, "emacs");
    el_set(impl.editor, EL_SIGNAL, 0);
    el_set(impl.editor, EL_ADDFN, "runbook-complete", "names that fit", Impl::on_tab);
    el_set(impl.editor, EL_ADDFN, "runbook-interrupt", "drop the line", Impl::on_interrupt);
    el_set(impl.editor, EL_BIND, "^I", "runbook-complete", nullptr);
    el_set(impl.editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_source(impl.editor, nullptr);
    el_set(impl.editor, EL_SETTY, "-d", "-isig", nullptr);
    el_set(impl.editor, EL_BIND, "^C", "runbook-interrupt", nullptr);
    impl.load_history();
}

Editor::~Editor() {
    history_end(impl_->history);
    el_end(impl_->editor);
}

Editor::Ended Editor::read(const std::string& prompt, std::string& line) {
    Impl& impl = *impl_;
    impl.prompt = prompt;
    impl.interrupted = false;
    el_resize(impl.editor);
    int count = 0;
    const char* text = el_gets(impl.editor, &count);
    if (impl.interrupted) {
        std::fputs("^C\n", stdout);
        std::fflush(stdout);
        return Ended::interrupted;
    }
    if (!text || count <= 0)
        return Ended::end;
    line.assign(text, static_cast<std::size_t>(count));
    while (line.ends_with('\n') || line.ends_with('\r'))
        line.pop_back();
    return Ended::line;
}

void Editor::remember(const std::string& entry) {
    if (text::trim(entry).empty() || holds_secret(entry))
        return;
    std::string line = entry;
    std::replace(line.begin(), line.end(), '\n', ' ');
    HistEvent event{};
    ::history(impl_->history, &event, H_ENTER, line.c_str());
    // After each line: a terminal that is closed loses nothing. The file is for its owner alone.
    std::error_code ignored;
    const std::filesystem::path folder = std::filesystem::path(impl_->file).parent_path();
    std::filesystem::create_directories(folder, ignored);
    const mode_t before = ::umask(0077);
    ::history(impl_->history, &event, H_SAVE, impl_->file.c_str());
    ::umask(before);
    ::chmod(impl_->file.c_str(), 0600);
}

std::string history_path() {
    if (const char* state = std::getenv("XDG_STATE_HOME"); state && *state == '/')
        return std::string(state) + "/runbook/history";
    const char* home = std::getenv("HOME");
    return std::string(home ? home : ".") + "/.local/state/runbook/history";
}

} // namespace runbook::repl
