/**
 * What `warden completion` writes. A name of a container may hold anything, so no script lets its shell read
 * one as a word of its own language: bash's `compgen -W`, for one, would run what stands in `$(...)`.
 */
export const COMPLETION_SCRIPTS: Readonly<Record<'bash' | 'zsh' | 'fish', string>> = {
  bash: `# bash completion for warden
_warden() {
  local rest=\${COMP_LINE:0:COMP_POINT} last=\${COMP_WORDS[COMP_CWORD]} word candidate current kept
  local -a words=()
  # bash takes words apart at colons and equals signs, and replaces what is behind them alone
  for word in "\${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
    if ((\${#words[@]})) && [[ $rest != [[:space:]]* ]]; then words[-1]+=$word; else words+=("$word"); fi
    rest=\${rest#"\${rest%%[![:space:]]*}"}
    rest=\${rest#"$word"}
  done
  current=\${words[-1]} kept=\${words[-1]}
  [[ $last == *[!:=]* ]] && kept=\${current%"$last"}
  COMPREPLY=()
  while IFS=$'\\t' read -r candidate _; do
    if [[ $candidate == : ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r candidate; do COMPREPLY+=("\${candidate#"$kept"}"); done < <(compgen -f -- "$current")
    elif [[ $candidate == "$current"* ]]; then
      [[ $candidate == *:/ ]] && compopt -o nospace 2>/dev/null
      COMPREPLY+=("$(printf '%q' "\${candidate#"$kept"}")")
    fi
  done < <("\${words[0]}" completion candidates -- "\${words[@]:1}" 2>/dev/null)
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
