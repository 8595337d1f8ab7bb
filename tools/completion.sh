#!/usr/bin/env bash
# Prints a script that completes ./dev in a shell: tools/completion.sh bash|zsh|fish. It reads
# the commands from standard input, one a line: the name, a tab, and what the command does. A
# word of that in brackets and in lower case, such as [--quick], is an argument of the command.
set -euo pipefail

names=()
declare -A descriptions arguments
while IFS=$'\t' read -r name description; do
  names+=("$name")
  descriptions[$name]=$description
  arguments[$name]=$(grep -oE '\[-*[a-z][a-z-]*' <<< "$description" | tr -d '[' | paste -sd ' ' || true)
done

# quoted TEXT ESCAPED: prints the text in single quotes; ESCAPED stands for a quote in it.
quoted() { printf "'%s'" "${1//"'"/"$2"}"; }

bash_script() {
  cat << END
# Completes ./dev in bash.
_lossd_dev() {
  local offered=''
  case \$COMP_CWORD,\${COMP_WORDS[1]} in
    1,*) offered='${names[*]}' ;;
$(for name in "${names[@]}"; do
    [[ -z ${arguments[$name]} ]] || echo "    *,$name) offered='${arguments[$name]}' ;;"
  done)
  esac
  mapfile -t COMPREPLY < <(compgen -W "\$offered" -- "\$2")
  ((COMP_CWORD == 1)) || compopt -o default
}
complete -F _lossd_dev dev
END
}

zsh_script() {
  cat << END
#compdef dev
# Completes ./dev in zsh.
_lossd_dev() {
  local -a commands=(
$(for name in "${names[@]}"; do
    echo "    $(quoted "$name:${descriptions[$name]}" "'\\''")"
  done)
  )
  case \$CURRENT,\$words[2] in
    2,*) _describe -t commands command commands ;;
$(for name in "${names[@]}"; do
    [[ -z ${arguments[$name]} ]] || echo "    *,$name) compadd -- ${arguments[$name]} || _files ;;"
  done)
    *) _files ;;
  esac
}
compdef _lossd_dev dev
END
}

fish_script() {
  echo "# Completes ./dev in fish."
  echo "complete -c dev -n __fish_use_subcommand -f"
  local name
  for name in "${names[@]}"; do
    echo "complete -c dev -n __fish_use_subcommand -a $name -d $(quoted "${descriptions[$name]}" "\\'")"
    [[ -z ${arguments[$name]} ]] ||
      echo "complete -c dev -n '__fish_seen_subcommand_from $name' -a '${arguments[$name]}'"
  done
}

case ${1:-} in
  bash | zsh | fish) "$1_script" ;;
  *)
    echo "tools/completion.sh: ${1:-}: the shells are bash, zsh and fish" >&2
    exit 2
    ;;
esac
