/**
 * What `warden completion` writes. A name of a container may hold anything, so no script lets its shell read
 * one as a word of its own language: bash's `compgen -W`, for one, would run what stands in `$(...)`.
 */
export const COMPLETION_SCRIPTS: Readonly<Record<'bash' | 'zsh' | 'fish', string>> = {
  bash: `# bash completion for warden
_warden() {
  local current=\${COMP_WORDS[COMP_CWORD]} candidate
  COMPREPLY=()
  while IFS=$'\\t' read -r candidate _; do
    if [[ $candidate == : ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "$current")
    elif [[ $candidate == "$current"* ]]; then
      COMPREPLY+=("$(printf '%q' "$candidate")")
    fi
  done < <("\${COMP_WORDS[0]}" completion candidates -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _warden warden
`,
  zsh: `#compdef warden
_warden() {
  local -a names texts
  local line name files=
  while IFS= read -r line; do
    name=\${line%%$'\\t'*}
    if [[ $name == : ]]; then
      files=1
    else
      names+=("$name")
      texts+=("$name  \${line#*$'\\t'}")
    fi
  done < <(\${words[1]} completion candidates -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  (( \${#names} )) && compadd -l -d texts -- "\${names[@]}"
  [[ -n $files ]] && _files
}
if [[ \${funcstack[1]} == _warden ]]; then _warden "$@"; else compdef _warden warden; fi
`,
  fish: `# fish completion for warden
function __warden_candidates
    set -l words (commandline -opc)
    set -l lines ($words[1] completion candidates -- $words[2..-1] (commandline -ct) 2>/dev/null)
    for line in $lines
        if string match -q ":*" -- $line
            __fish_complete_path (commandline -ct)
        else
            printf '%s\\n' $line
        end
    end
end
complete -c warden -f -a '(__warden_candidates)'
`,
};
